//! The pages of `config.toml` and of the helper of `mount`: both have the options that
//! `config` declares.

use super::page::{self, Page};
use crate::config::MountOptions;
use clap_mangen::roff::{Roff, bold, italic, roman};

/// What a settings file may look like.
const EXAMPLE: &str = "token-file = \"~/.vm0-token\"
cache-size = \"50GB\"
list-ttl = \"10s\"
allow-other = true
crawler-names = [\"walker\"]";

/// `vm0fs.toml(5)`.
pub(super) fn config(date: &str) -> Page {
    let mut page = Page::new("vm0fs.toml", 5, date, "settings of vm0fs");
    let mut roff = Roff::new();
    page::section(&mut roff, "SYNOPSIS");
    roff.text([bold("~/.config/vm0fs/config.toml")]);
    page::section(&mut roff, "DESCRIPTION");
    roff.text([roman(
        "The file has settings for all commands of vm0fs, a line each, in TOML. Every key is \
         the name of an option without its dashes, and means the same. For each setting by \
         itself the first of these decides: the option, the environment, this file, the login \
         of the vm0 CLI, the default.",
    )]);
    for text in [
        "Sizes are texts such as \"4096\", \"50MB\" (decimal) and \"10GiB\" or \"10G\" (binary); \
         durations such as \"500ms\", \"3s\", \"2m\" and \"1h\", always with a unit. Options \
         without a value are true or false. Paths may begin with ~/, and are otherwise \
         relative to the folder of the file.",
        "A key that is not known, or a value that makes no sense, is an error that names its \
         line. No key takes the token itself.",
        "`vm0fs upgrade` and SIGHUP to the supervisor have a mount read the file again.",
    ] {
        page::paragraph(&mut roff, text);
    }
    page::section(&mut roff, "KEYS");
    for option in MountOptions::documented() {
        let value = match option.value.as_deref() {
            None => "true|false".to_owned(),
            Some("NAMES") => "[\"NAME\", …]".to_owned(),
            Some(value) => format!("\"{value}\""),
        };
        let line = vec![bold(option.key), roman(" = "), italic(value)];
        page::term(&mut roff, line, &option.help);
    }
    page::terms(
        &mut roff,
        "FILES",
        [
            ("~/.config/vm0fs/config.toml", "The file."),
            (
                "$XDG_CONFIG_HOME/vm0fs/config.toml",
                "The file, where that variable has an absolute path.",
            ),
        ],
    );
    page::section(&mut roff, "EXAMPLES");
    let lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
    page::lines(&mut roff, &lines);
    let others = ["vm0fs(1)", "vm0fs-mount(1)", "vm0fs-doctor(1)"].map(str::to_owned);
    page::see_also(&mut roff, &others, &["settings", "fleets"]);
    page.add(&roff);
    page
}

/// `mount.vm0fs(8)`.
pub(super) fn mount_helper(date: &str) -> Page {
    let mut page = Page::new("mount.vm0fs", 8, date, "mount the VM0 platform from fstab");
    let mut roff = Roff::new();
    page::section(&mut roff, "SYNOPSIS");
    roff.text([
        bold("mount -t vm0fs"),
        roman(" [-o "),
        italic("OPTION"),
        roman("[,"),
        italic("OPTION"),
        roman("...]] vm0fs "),
        italic("MOUNTPOINT"),
    ]);
    page::section(&mut roff, "OPTIONS");
    for option in MountOptions::documented() {
        if option.value.as_deref() == Some("NAMES") {
            continue;
        }
        let mut line = vec![bold(option.key)];
        if let Some(value) = option.value {
            line.extend([roman("="), italic(value)]);
        }
        page::term(&mut roff, line, &option.help);
    }
    let others = ["vm0fs-mount(1)", "vm0fs.toml(5)", "mount(8)", "fstab(5)"].map(str::to_owned);
    page::see_also(&mut roff, &others, &["settings"]);
    page.add(&roff);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CacheSettings, Environment};
    use std::fs;

    #[test]
    fn the_example_of_a_settings_file_is_one() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/vm0fs");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), EXAMPLE).unwrap();
        let environment = Environment {
            home: Some(home.path().to_owned()),
            ..Environment::default()
        };
        let settings = CacheSettings::load(None, None, &environment).unwrap();
        assert_eq!(settings.size, 50_000_000_000);
    }

    #[test]
    fn every_option_is_on_its_page() {
        let text = config("2026-11-30").text;
        for option in MountOptions::documented() {
            let key = format!(r"\fB{}\fR", option.key.replace('-', r"\-"));
            assert!(text.contains(&key), "{key}");
        }
        assert!(
            text.contains(r#"\fBcache\-size\fR = \fI"SIZE"\fR"#),
            "{text}"
        );
        assert!(text.contains(r"\fBoffline\fR = \fItrue|false\fR"), "{text}");
    }
}
