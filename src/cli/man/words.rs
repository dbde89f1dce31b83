//! What the manual pages say that no help text says: variables, files, and what else
//! is worth reading.

use std::collections::BTreeSet;

/// A variable or a file, the arguments, or the name, by which a command shows that it uses
/// it, and what it is.
type Entry = (&'static str, &'static [&'static str], &'static str);

/// What commands read settings.
const SETTINGS: &[&str] = &["api_url", "cache_dir", "shared_cache"];

/// What commands write services; their own names show it.
const SERVICES: &[&str] = &["enable", "disable"];

const ENVIRONMENT: &[Entry] = &[
    (
        "VM0_API_URL",
        &["api_url"],
        "Address of the API, where --api-url does not give it.",
    ),
    (
        "VM0_API_KEY, VM0_TOKEN",
        &["token_file"],
        "The token itself, where --token-file does not name its file; the first that is set. \
         vm0fs takes them out of the environment of what it starts.",
    ),
    (
        "VM0FS_SHARED_CACHE, VM0FS_SHARED_CACHE_KEY_FILE",
        &["shared_cache"],
        "The shared cache and the file of its key, where --shared-cache and \
         --shared-cache-key-file do not name them.",
    ),
    (
        "AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        &["shared_cache"],
        "How to reach a shared cache at s3://. `vm0fs help fleets` has the variables of roles.",
    ),
    (
        "AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE",
        &["shared_cache"],
        "The profile that has what these do not say, and its files, where they are not those of \
         ~/.aws.",
    ),
    (
        "http_proxy, https_proxy, all_proxy, no_proxy",
        &["api_url", "shared_cache"],
        "The proxy, as curl(1) reads them. `vm0fs help settings` has the kinds of proxies.",
    ),
    (
        "SSL_CERT_FILE, SSL_CERT_DIR",
        &["api_url", "shared_cache"],
        "A file, and folders, of the certificates by which servers are checked, instead of the \
         system's.",
    ),
    (
        "VM0FS_LOG",
        &["verbose"],
        "How much is logged where there is no -v: off, error, warn, info (the default), debug \
         or trace.",
    ),
    (
        "NO_COLOR",
        &["foreground", "name_status"],
        "If it is set and not empty, nothing on a terminal has colours.",
    ),
    (
        "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME",
        SETTINGS,
        "Absolute paths of the folders in which those of vm0fs are. [default: ~/.config, \
         ~/.cache, ~/.local/state]",
    ),
    (
        "XDG_RUNTIME_DIR",
        SERVICES,
        "The folder in which your systemd listens. [default: /run/user/UID]",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
        &["foreground"],
        "What a service manager sets to be told of the mount (sd_notify(3)): where it listens, and \
         how often it wants a sign of life, of which process. Read with --foreground only.",
    ),
];

const FILES: &[Entry] = &[
    (
        "~/.config/vm0fs/config.toml",
        SETTINGS,
        "Settings: see vm0fs.toml(5).",
    ),
    (
        "~/.config/systemd/user/vm0fs@.service",
        SERVICES,
        "The template of the services, where no package has it in /usr/lib/systemd/user.",
    ),
    (
        "~/.config/systemd/user/vm0fs@FOLDER.service.d/options.conf",
        SERVICES,
        "The options of the mount at a folder, which systemd-escape(1) spells with --path.",
    ),
    (
        "~/.vm0/config.json",
        &["token_file"],
        "The login of the vm0 CLI: token and address, where no other source has them.",
    ),
    (
        "~/.cache/vm0fs/",
        &["cache_dir"],
        "The cache: versions that were downloaded, and answers of the API.",
    ),
    (
        "~/.aws/credentials, ~/.aws/config",
        &["shared_cache"],
        "Profiles with keys, region and endpoint of a shared cache at s3://.",
    ),
    (
        "~/.local/state/vm0fs/vm0fs.log",
        &["foreground", "doctor"],
        "The log of mounts in the background; vm0fs.log.1 is the one before.",
    ),
    (
        "MOUNTPOINT/.vm0fs/",
        &["mountpoint", "mountpoints"],
        "In each mount: status.json, transfers, errors, and the guide in help/.",
    ),
    (
        "/dev/fuse",
        &["foreground", "doctor"],
        "The device through which the kernel talks to vm0fs.",
    ),
    (
        "/etc/fuse.conf",
        &["allow_other"],
        "The line user_allow_other lets ordinary users use --allow-other.",
    ),
];

/// The variables that a command with these arguments reads, and what they mean.
pub(super) fn environment(
    arguments: &BTreeSet<&str>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    of(ENVIRONMENT, arguments)
}

/// The files that it uses, likewise.
pub(super) fn files(
    arguments: &BTreeSet<&str>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    of(FILES, arguments)
}

fn of(
    entries: &'static [Entry],
    arguments: &BTreeSet<&str>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    entries
        .iter()
        .filter(|(_, of, _)| of.iter().any(|argument| arguments.contains(argument)))
        .map(|(name, _, text)| (*name, *text))
}

/// What a page says of its command beside the help text.
pub(super) fn description(page: &str) -> &'static [&'static str] {
    match page {
        "vm0fs" => &[
            "`vm0fs mount` shows at a folder what an account of VM0 has: below agents/ the agents, \
             below runs/ each run with its status, log, conversation, result and metrics, below \
             volumes/ and artifacts/ every version of what agents read and made. Programs such as \
             ls(1), grep(1), cp(1) and diff(1) then work on it. A prompt that is written to \
             agents/NAME/run starts a run.",
            "A mount serves in the background until `vm0fs unmount`. Content is downloaded when it \
             is read, and kept in a cache. Other commands do without a mount what scripts need: \
             they start, list, follow and cancel runs, and compare versions. `vm0fs demo` needs \
             neither an account nor a network.",
        ],
        _ => &[],
    }
}

/// What else to read.
pub(super) struct Related {
    /// Other pages, such as `vm0fs-mount(1)`.
    pub(super) pages: &'static [&'static str],
    /// Topics of the guide.
    pub(super) topics: &'static [&'static str],
}

/// What else to read after a page, beside the pages above and below it.
pub(super) fn related(page: &str) -> Related {
    let (pages, topics): (&[_], &[_]) = match page {
        "vm0fs" => (
            &["vm0fs.toml(5)", "mount.vm0fs(8)"],
            &["tree", "runs", "settings", "troubleshooting"],
        ),
        "vm0fs-mount" => (
            &[
                "vm0fs-unmount(1)",
                "vm0fs-status(1)",
                "vm0fs.toml(5)",
                "mount.vm0fs(8)",
                "fusermount3(1)",
            ],
            &["settings", "startup", "workers", "security", "limits"],
        ),
        "vm0fs-unmount" => (
            &["vm0fs-mount(1)", "fusermount3(1)", "umount(8)"],
            &["troubleshooting"],
        ),
        "vm0fs-upgrade" => (&["vm0fs-mount(1)", "vm0fs-status(1)"], &["workers"]),
        "vm0fs-status" => (
            &["vm0fs-doctor(1)", "vm0fs-mount(1)", "findmnt(8)"],
            &["troubleshooting"],
        ),
        "vm0fs-doctor" => (&["vm0fs-status(1)", "vm0fs.toml(5)"], &["troubleshooting"]),
        "vm0fs-diff" => (
            &[
                "vm0fs-ls-artifacts(1)",
                "vm0fs-prefetch(1)",
                "diff(1)",
                "git-diff(1)",
                "patch(1)",
            ],
            &["diff", "parts"],
        ),
        "vm0fs-run" | "vm0fs-logs" | "vm0fs-cancel" => (
            &[
                "vm0fs-run(1)",
                "vm0fs-logs(1)",
                "vm0fs-cancel(1)",
                "vm0fs-ls-runs(1)",
            ],
            &["runs"],
        ),
        "vm0fs-top" => (&["vm0fs-status(1)"], &["troubleshooting"]),
        "vm0fs-enable" | "vm0fs-disable" => (
            &[
                "vm0fs-enable(1)",
                "vm0fs-disable(1)",
                "vm0fs-mount(1)",
                "systemctl(1)",
            ],
            &["startup"],
        ),
        name if name.starts_with("vm0fs-ls") => {
            (&["vm0fs-logs(1)", "vm0fs-mount(1)"], &["runs", "tree"])
        }
        "vm0fs-prefetch" => (
            &["vm0fs-cache-pin(1)", "vm0fs-mount(1)"],
            &["cache", "parts"],
        ),
        "vm0fs-demo" => (&["vm0fs-mount(1)", "vm0fs-unmount(1)"], &["tree"]),
        name if name.starts_with("vm0fs-cache") => {
            (&["vm0fs-prefetch(1)", "vm0fs.toml(5)"], &["cache"])
        }
        name if name.starts_with("vm0fs-shared-cache") => (&["vm0fs.toml(5)"], &["fleets"]),
        _ => (&[], &[]),
    };
    Related { pages, topics }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Cli, guide::PAGES};
    use clap::CommandFactory;

    #[test]
    fn the_guide_knows_every_variable_of_vm0fs() {
        let guide: String = PAGES.iter().map(|page| page.text).collect();
        for name in ENVIRONMENT.iter().flat_map(|(names, ..)| names.split(", ")) {
            assert!(guide.contains(name) || name == "NO_COLOR", "{name}");
        }
    }

    #[test]
    fn every_argument_that_shows_a_use_exists() {
        fn all(command: &clap::Command, found: &mut BTreeSet<String>) {
            let arguments = command.get_arguments();
            found.extend(arguments.map(|arg| arg.get_id().as_str().to_owned()));
            found.insert(command.get_name().to_owned());
            for sub in command.get_subcommands() {
                all(sub, found);
            }
        }
        let mut command = Cli::command();
        command.build();
        let mut found = BTreeSet::new();
        all(&command, &mut found);
        for argument in ENVIRONMENT.iter().chain(FILES).flat_map(|(_, of, _)| *of) {
            assert!(found.contains(*argument), "{argument}: {found:?}");
        }
    }

    #[test]
    fn pages_of_settings_name_their_sources() {
        let names = |arguments: &[&str]| {
            let arguments = arguments.iter().copied().collect();
            Vec::from_iter(environment(&arguments).chain(files(&arguments)))
        };
        assert!(names(&["json"]).is_empty());
        let of_cache = names(&["cache_dir"]);
        assert!(of_cache.iter().any(|(name, _)| *name == "~/.cache/vm0fs/"));
        assert!(!of_cache.iter().any(|(name, _)| name.contains("VM0_TOKEN")));
        let of_services = names(&["disable"]);
        let is_template = |(name, _): &(&str, &str)| name.ends_with("/vm0fs@.service");
        assert!(of_services.iter().any(is_template), "{of_services:?}");
    }
}
