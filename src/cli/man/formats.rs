//! The pages of `config.toml` and of the helper of `mount`: both have the options that
//! `config` declares.

use super::{
    page::{self, Page},
    words,
};
use crate::{
    cli::fstab::{self, Generic},
    config::MountOptions,
};
use clap_mangen::roff::{Roff, bold, italic, roman};

/// The other name of the helper of `mount`.
pub(super) const OTHER_HELPER: &str = "mount.fuse.vm0fs";

/// What a settings file may look like.
const EXAMPLE: &str = "token-file = \"~/.vm0-token\"
cache-size = \"50GB\"
list-ttl = \"10s\"
allow-other = true
crawler-names = [\"walker\"]";

/// Lines of a table.
const LINES: &str =
    "vm0fs /home/me/vm0 fuse.vm0fs noauto,user,exec,_netdev,token-file=/home/me/.vm0-token 0 0
vm0fs /srv/vm0 fuse.vm0fs _netdev,nofail,x-systemd.automount,allow-other,ro 0 0";

/// `vm0fs.toml(5)`.
pub(super) fn config(date: &str) -> Page {
    let mut page = Page::new(&["vm0fs.toml"], 5, date, "settings of vm0fs");
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

/// `mount.vm0fs(8)`, of which `mount` declares the options.
pub(super) fn mount_helper(mount: &clap::Command, date: &str) -> Page {
    let names = ["mount.vm0fs", OTHER_HELPER];
    let mut page = Page::new(&names, 8, date, "mount the VM0 platform by mount(8)");
    let mut roff = Roff::new();
    page::section(&mut roff, "SYNOPSIS");
    let call = |program: &str| {
        let dots = [
            roman("["),
            bold("-o"),
            roman(" "),
            italic("OPTION"),
            roman("[,…]] "),
        ];
        let places = [italic("SOURCE"), roman(" "), italic("MOUNTPOINT")];
        let line = [bold(program), roman(" ")]
            .into_iter()
            .chain(dots)
            .chain(places);
        line.collect::<Vec<_>>()
    };
    roff.text(call("mount -t fuse.vm0fs"));
    roff.control("br", []);
    let flags = [
        roman(" ["),
        bold("-sfnv"),
        roman("] ["),
        bold("-N"),
        roman(" "),
    ];
    let flags = flags.into_iter().chain([italic("NAMESPACE"), roman("]")]);
    roff.text(
        call("mount.vm0fs")
            .into_iter()
            .chain(flags)
            .collect::<Vec<_>>(),
    );
    page::section(&mut roff, "DESCRIPTION");
    roff.text([roman(
        "mount(8) calls the program by this name, or as mount.fuse.vm0fs, for the types vm0fs \
         and fuse.vm0fs, on a command line or in /etc/fstab. The mount is that of \
         vm0fs-mount(1), in the background. SOURCE is `vm0fs`, or the address of an API.",
    )]);
    for text in [
        "Files belong to the user who mounts: the one who calls mount(8) where the line has \
         `user`; at boot root, with root's settings, or with setuid the user whom it names.",
        "`vm0fs mount --print-fstab` prints the line that mounts as its arguments do.",
    ] {
        page::paragraph(&mut roff, text);
    }
    page::section(&mut roff, "OPTIONS");
    roff.text([roman(
        "They are the flags of vm0fs-mount(1) without their dashes; _ is taken for - in them. A \
         value with a comma stands in double quotes, and a path begins with /. An option that \
         there is not is an error. None takes the token: any user can read the table.",
    )]);
    for arg in fstab::options(mount) {
        let Some(name) = arg.get_long().filter(|name| *name != "version") else {
            continue;
        };
        let mut line = vec![bold(name)];
        if arg.get_action().takes_values() {
            line.extend([roman("="), italic(fstab::value_name(arg))]);
        }
        let help = arg.get_help().map(ToString::to_string);
        page::term(&mut roff, line, &help.unwrap_or_default());
    }
    let line = vec![bold(fstab::SETUID), roman("="), italic("USER")];
    page::term(&mut roff, line, "Mount as this user, where root mounts.");
    roff.control("SS", ["Options of every file system"]);
    for (name, meaning) in fstab::GENERIC {
        let text = match meaning {
            Generic::Ignored => continue,
            Generic::Flag(flag) => format!("The same as {flag}."),
            Generic::NotFlag(flag) => format!("Takes back {flag}, where it stands after it."),
        };
        page::term(&mut roff, vec![bold(*name)], &text);
    }
    let ignored = fstab::GENERIC
        .iter()
        .filter(|(_, meaning)| *meaning == Generic::Ignored);
    let ignored: Vec<&str> = ignored.map(|(name, _)| *name).collect();
    let text = format!(
        "Taken, for mount(8) and systemd, or without effect: {}, comment=…, x-…",
        ignored.join(", ")
    );
    page::paragraph(&mut roff, &text);
    page::paragraph(
        &mut roff,
        "remount, uid, gid and umask are errors: a mount takes other options when it is mounted \
         again, and its files belong to the user who mounts.",
    );
    page::section(&mut roff, "EXIT STATUS");
    for (code, meaning) in [
        ("0", "mounted"),
        ("1", "a wrong option or a wrong call"),
        ("2", "an error of the system"),
        ("8", "interrupted by the user"),
        ("32", "not mounted"),
    ] {
        page::term(&mut roff, vec![bold(code)], meaning);
    }
    let arguments = mount.get_arguments().filter(|arg| !arg.is_hide_set());
    let arguments = arguments.map(|arg| arg.get_id().as_str()).collect();
    page::section(&mut roff, "ENVIRONMENT");
    roff.text([roman(
        "At boot, by systemd and by automount there are no variables of a shell: settings belong \
         into options and config.toml. A mount(8) that a user calls may hand on what the shell \
         has; do not rely on it. What is handed on is read as vm0fs-mount(1) says; with setuid \
         not the variables whose names begin with VM0, AWS_ or XDG_.",
    )]);
    let own = [
        ("/etc/fstab", "The table of file systems."),
        (
            "/sbin/mount.vm0fs, /sbin/mount.fuse.vm0fs",
            "Links to the program, by which mount(8) finds it.",
        ),
    ];
    page::paragraph(
        &mut roff,
        "Below, ~ is the home of the user who mounts: HOME, where the caller has set it, else as \
         the password database has it.",
    );
    page::terms(
        &mut roff,
        "FILES",
        own.into_iter().chain(words::files(&arguments)),
    );
    page::section(&mut roff, "EXAMPLES");
    let lines: Vec<String> = LINES.lines().map(str::to_owned).collect();
    page::lines(&mut roff, &lines);
    let others = [
        "vm0fs-mount(1)",
        "vm0fs.toml(5)",
        "fstab(5)",
        "mount(8)",
        "systemd.automount(5)",
    ];
    page::see_also(
        &mut roff,
        &others.map(str::to_owned),
        &["startup", "settings"],
    );
    page.add(&roff);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::Cli,
        config::{CacheSettings, Environment},
    };
    use clap::CommandFactory;
    use std::fs;

    #[test]
    fn the_example_of_a_table_has_known_options() {
        let command = Cli::command();
        let mount = command.find_subcommand("mount").unwrap();
        for line in LINES.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            assert_eq!(fields.len(), 6, "{line}");
            assert_eq!(fields[2], fstab::TYPE);
            assert!(fstab::read(fields[3], mount, false).is_ok(), "{line}");
        }
        let text = mount_helper(mount, "2026-11-30").text;
        for arg in fstab::options(mount) {
            let name = arg.get_long().unwrap().replace('-', r"\-");
            assert!(text.contains(&format!(r"\fB{name}\fR")), "{name}");
        }
    }

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
