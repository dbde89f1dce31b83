//! The volumes and artifacts of the demo world.

use super::{
    data::{Content, DAY, Each, File as Form, HOUR, Scenario, Storage, Words},
    make,
};
use crate::demo::{
    archive::{File, Maker},
    story::fill,
    world::{VersionSpec, World},
};

/// How long ago a storage without versions was made, in seconds.
const EMPTY: i64 = 25 * DAY;

pub(super) fn add(world: &mut World, scenario: &Scenario) {
    for storage in &scenario.storages {
        add_storage(world, scenario, storage);
    }
}

fn add_storage(world: &mut World, scenario: &Scenario, storage: &Storage) {
    let versions = (1..).zip(&storage.versions);
    let ages = versions.map(|(number, version)| match version.ago {
        Some(ago) => ago.0,
        None => scenario.stored_ago(&storage.name, number),
    });
    let ages: Vec<i64> = ages.collect();
    let made = world.ago(ages.first().map_or(EMPTY, |oldest| oldest + HOUR));
    let id = world.add_storage(storage.kind, &storage.name);
    if let Some(storage) = world.storages.last_mut() {
        (storage.created_at, storage.updated_at) = (made, made);
    }
    for (number, age) in (1..).zip(ages) {
        let spec = version(world, storage, number, age);
        world.add_version(&id, spec);
    }
}

/// The version of number `number`, counted from 1.
fn version(world: &World, storage: &Storage, number: usize, age: i64) -> VersionSpec {
    let at = world.ago(age);
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    // Files are a little older than the version that stored them.
    let files = files(storage, number).into_iter().enumerate();
    let files = files.map(|(index, file)| file.modified(seconds - 60 - index as u64 % 40));
    let mut spec = VersionSpec::files(files.collect())
        .created_by(&*storage.author)
        .created_at(at);
    if let Some(message) = &storage.versions[number - 1].message {
        spec = spec.message(message);
    }
    match &*storage.author {
        // The trainer runs in a newer sandbox.
        "agent:model-trainer" => spec.maker(Maker::RustTar),
        author if author.starts_with("agent:") => spec.maker(Maker::Sandbox),
        _ => spec,
    }
}

/// The files of a version, in their order.
fn files(storage: &Storage, number: usize) -> Vec<File> {
    let own = &storage.versions[number - 1].words;
    let is_there = |form: &&Form| (form.since..=form.until).contains(&number);
    let mut all = Vec::new();
    for together in storage
        .files
        .chunk_by(|one, next| one.each.is_some() && one.each == next.each)
    {
        let each = together[0].each;
        let repeats = each.map_or_else(|| vec![own.clone()], |each| repeats(each, storage, number));
        for words in repeats {
            let there = together.iter().filter(is_there);
            all.extend(there.map(|form| file(form, storage, number, &words)));
        }
    }
    all
}

/// The words of each repetition.
fn repeats(each: Each, storage: &Storage, number: usize) -> Vec<Words> {
    let versions = &storage.versions[..number];
    let so_far = versions.iter().map(|version| version.words.clone());
    let count = |word: &str| {
        let word = versions[number - 1].words.get(word);
        word.and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    match each {
        Each::Version => so_far.collect(),
        Each::VersionNewestFirst => so_far.rev().collect(),
        Each::Page => make::pages(count("pages")),
        Each::Section => make::sections(count("sections")),
    }
}

fn file(form: &Form, storage: &Storage, number: usize, words: &Words) -> File {
    let path = fill(&form.path, words);
    let file = match &form.content {
        Some(Content::Text(text)) => {
            let mut text = fill(text, words);
            if let Some(rows) = &form.rows {
                let rows = repeats(rows.each, storage, number)
                    .iter()
                    .map(|words| fill(&rows.text, words))
                    .collect::<String>();
                text.push_str(&rows);
            }
            File::new(path, text)
        }
        Some(Content::Made(line)) => make::file(path, &fill(line, words), words),
        Some(Content::Symlink(target)) => File::symlink(path, fill(target, words)),
        Some(Content::HardLink(of)) => File::hard_link(path, &**of),
        None => File::folder(path),
    };
    match form.executable {
        true => file.executable(),
        false => file,
    }
}
