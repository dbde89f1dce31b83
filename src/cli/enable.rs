//! `vm0fs enable` and `vm0fs disable`: a mount that comes with the user's session, as a
//! service of the user's systemd.

use super::{
    complete::values::Values,
    given::{given, not_text, own_program, unseen},
    output::{print, start_logging},
    unit,
    user_manager::{self, Manager, systemctl},
};
use crate::{
    config::{Environment, MountOptions, Settings},
    error::{Error, Result},
    proc::{self, MountEntry},
    text::{one_line, shell_path, shell_word},
    unmount::{self, Health},
};
use clap::{Args, Command, ValueHint};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The default folder, in the home.
const FOLDER: &str = "vm0";

/// The first line of the files that `enable` writes, by which it knows them again.
const MARK: &str = "# Written by `vm0fs enable`; `vm0fs disable` removes it.";

/// `vm0fs enable`.
#[derive(Debug, Args)]
#[command(
    after_help = "A service of your systemd mounts at each login and unmounts at logout; with
`loginctl enable-linger` from boot on. It does not see what your shell sets: give the
token with --token-file, config.toml or `vm0 auth login`.

Examples:
  vm0fs enable
  vm0fs enable --cache-size 50GB ~/vm0
  systemctl --user status 'vm0fs@*'"
)]
pub struct EnableArgs {
    /// The folder to mount at. It must be empty; it is made if it is missing [default: ~/vm0]
    #[arg(value_hint = ValueHint::DirPath)]
    mountpoint: Option<PathBuf>,
    /// How the mount behaves.
    #[command(flatten)]
    options: MountOptions,
}

/// `vm0fs disable`.
#[derive(Debug, Args)]
#[command(
    after_help = "It unmounts, and removes what `vm0fs enable` has written.

Examples:
  vm0fs disable
  vm0fs disable ~/vm0"
)]
pub struct DisableArgs {
    /// The folder that `vm0fs enable` was called with [default: ~/vm0]
    #[arg(add = Values::Mountpoints.completer())]
    mountpoint: Option<PathBuf>,
}

/// The service of a folder, and its files.
struct Service {
    folder: PathBuf,
    name: String,
    /// The template in the user's own folder, where no package has one.
    template: PathBuf,
    /// Says what differs from the template.
    drop_in: PathBuf,
    /// The folder of the links by which systemd starts services at a login.
    wants: PathBuf,
}

impl Service {
    /// The service of a folder of this process's. Its files are where what has `surroundings`
    /// looks for them, which is the manager where there is one.
    fn at(
        folder: Option<PathBuf>,
        environment: &Environment,
        surroundings: &Environment,
    ) -> Result<Self> {
        let folder = match (folder, &environment.home) {
            (Some(folder), _) => environment.current_dir.join(folder),
            (None, Some(home)) => home.join(FOLDER),
            (None, None) => {
                return Err(Error::Setup(
                    "the home folder is not known; name a folder: vm0fs enable FOLDER".into(),
                ));
            }
        };
        let folder: PathBuf = folder.components().collect();
        let name = unit::instance(&folder)?;
        let units = user_manager::units(surroundings)?;
        Ok(Self {
            folder,
            template: units.join(unit::TEMPLATE_NAME),
            drop_in: units.join(format!("{name}.d/options.conf")),
            wants: units.join("default.target.wants"),
            name,
        })
    }

    fn is(&self, verb: &str) -> Result<bool> {
        user_manager::run("systemctl", &[verb, "--quiet", &self.name]).map(|said| said.is_well)
    }

    /// What stands in the files that `enable` writes; `None` for those that there are not.
    fn files(&self) -> [Option<String>; 2] {
        [&self.template, &self.drop_in].map(|path| fs::read_to_string(path).ok())
    }

    /// Has a service that was changed be as it was before. Says so.
    fn restore(&self, before: [Option<String>; 2], was_active: bool) -> &'static str {
        for (path, text) in [&self.template, &self.drop_in].into_iter().zip(before) {
            // What cannot be restored shows in what systemd says.
            let _ = match text {
                Some(text) => fs::write(path, text),
                None => fs::remove_file(path),
            };
        }
        let _ = systemctl(&["daemon-reload"]);
        let verb = if was_active { "restart" } else { "stop" };
        let _ = systemctl(&[verb, &self.name]);
        "is as it was before"
    }

    /// Removes a service that has never run. Says so.
    fn take_away(&self) -> &'static str {
        let _ = systemctl(&["disable", "--now", &self.name]);
        let _ = self.remove_files();
        let _ = systemctl(&["daemon-reload"]);
        let _ = systemctl(&["reset-failed", &self.name]);
        "is removed again"
    }

    /// Removes the files that `enable` has written for this folder, and the template where
    /// no other folder needs it. Returns what is removed.
    fn remove_files(&self) -> Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        removed.extend(remove(&self.drop_in)?);
        let others = fs::read_dir(&self.wants).into_iter().flatten().flatten();
        let is_needed = others.into_iter().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("vm0fs@") && *name != self.name
        });
        if !is_needed {
            removed.extend(remove(&self.template)?);
        }
        let link = self.wants.join(&self.name);
        // It leads to the template, which may be a package's or gone.
        if link.is_symlink() {
            fs::remove_file(&link)
                .map_err(|error| Error::file(format!("removing {}", link.display()), error))?;
            removed.push(link.clone());
        }
        for path in [&self.drop_in, &link, &self.template] {
            // Fails where something is left in one.
            let folders = path.ancestors().skip(1).take(2);
            folders.for_each(|folder| drop(fs::remove_dir(folder)));
        }
        Ok(removed)
    }
}

/// Writes a file of ours. Returns whether that has changed it.
fn write(path: &Path, text: &str) -> Result<bool> {
    let text = format!("{MARK}\n{text}");
    let failed = |error| Error::file(format!("writing {}", path.display()), error);
    match fs::read_to_string(path) {
        Ok(now) if now == text => return Ok(false),
        Ok(now) if !now.starts_with(MARK) => {
            return Err(Error::Setup(format!(
                "{} is not a file of `vm0fs enable`; move it away, or change it by hand",
                path.display()
            )));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed).map(|()| true)
}

/// Removes a file, if it is one of ours. Returns it where it was.
fn remove(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_to_string(path) {
        Ok(text) if text.starts_with(MARK) => fs::remove_file(path)
            .map(|()| Some(path.to_owned()))
            .map_err(|error| Error::file(format!("removing {}", path.display()), error)),
        _ => Ok(None),
    }
}

impl EnableArgs {
    /// Writes the service, starts it, and says what was done.
    ///
    /// # Errors
    /// [`Error::Setup`] where there is no systemd of the user's, or the mount could not be
    /// made; what to do is said, and nothing is left.
    pub fn run(self, environment: &Environment) -> Result<()> {
        start_logging(0, false, environment)?;
        let declaration = Self::augment_args(Command::new("vm0fs enable"));
        let options = given(&declaration, std::env::args_os().skip(1), environment)?;
        let program = own_program()?;
        let manager = Manager::seen_from(environment);
        let service = Service::at(self.mountpoint, environment, &manager.surroundings)?;
        if let Some(error) = manager.absent {
            let folder = &service.folder;
            let error = without_systemd(&error, &program, &options, folder, environment);
            return Err(error);
        }
        check(self.options, &manager.surroundings)?;
        let is_active = service.is("is-active")?;
        if !is_active && vm0fs_at(&service.folder)?.is_some_and(lives) {
            let shown = service.folder.display();
            return Err(Error::Setup(format!(
                "vm0fs is mounted at {shown} already, and not by the service; unmount it first: \
                 vm0fs unmount {}",
                shell_path(&service.folder)
            )));
        }
        let is_enabled = service.is("is-enabled")?;
        let before = service.files();
        let changed = write_files(&service, &program, &options)?;
        for (path, what) in &changed {
            print(&format!("{what} {}\n", path.display()))?;
        }
        let is_as_asked = is_active && is_enabled && changed.is_empty();
        if is_as_asked {
            return report(&service, "runs already:");
        }
        if let Err(error) = start(&service) {
            let why = why(&service.name, &error);
            let now = match is_enabled {
                true => service.restore(before, is_active),
                false => service.take_away(),
            };
            return Err(Error::Setup(format!(
                "the service did not start, and {now}: {why}"
            )));
        }
        report(&service, "started:")?;
        if let Some(note) = unseen(environment, &manager.variables, "the service") {
            print(&format!("note: {note}\n"))?;
        }
        Ok(())
    }
}

/// The vm0fs that is mounted at a folder.
fn vm0fs_at(folder: &Path) -> Result<Option<MountEntry>> {
    Ok(proc::mount_at(folder)?.filter(MountEntry::is_vm0fs))
}

/// Whether a mount is not a dead one, which a crash has left.
fn lives(mount: MountEntry) -> bool {
    unmount::look(mount).health != Health::Dead
}

/// Whether the service will have all that it needs, which is told better now.
fn check(options: MountOptions, surroundings: &Environment) -> Result<()> {
    let settings = Settings::load(options, surroundings);
    settings.map(|_| ()).map_err(|error| {
        Error::Setup(format!(
            "the service could not mount: {error}\n(A service does not see what a shell sets.)"
        ))
    })
}

/// Writes what is needed beside what there is. Returns the files that have changed, and
/// how.
fn write_files(
    service: &Service,
    program: &Path,
    options: &[(String, Option<String>)],
) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut changed = Vec::new();
    let mut write_one = |path: &Path, text: &str| {
        if write(path, text)? {
            changed.push((path.to_owned(), "wrote"));
        }
        Ok::<_, Error>(())
    };
    let there = user_manager::run("systemctl", &["cat", unit::TEMPLATE_NAME])?;
    let is_ours = fs::read_to_string(&service.template).is_ok_and(|text| text.starts_with(MARK));
    if !there.is_well || is_ours {
        write_one(&service.template, &unit::template(program)?)?;
    }
    let line = unit::exec_start(program, options)?;
    let has_template = there.is_well && !is_ours;
    let is_as_there = match has_template {
        true => there.out.lines().any(|there| there == line),
        false => options.is_empty(),
    };
    match is_as_there {
        false => write_one(&service.drop_in, &unit::drop_in(program, options)?)?,
        true => changed.extend(remove(&service.drop_in)?.map(|path| (path, "removed"))),
    }
    Ok(changed)
}

/// Starts the service, anew where it runs with other options.
fn start(service: &Service) -> Result<()> {
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", &service.name])?;
    systemctl(&["restart", &service.name]).map(|_| ())
}

/// Why a service has failed, in the words of its supervisor; where it has said nothing, in
/// those of systemd.
fn why(name: &str, error: &Error) -> String {
    match status(name).trim() {
        "" => {
            format!("{error}\nSee journalctl --user -u '{name}', or try: vm0fs mount --foreground")
        }
        told => one_line(told, 400),
    }
}

/// What the mount of a service has said that it does.
fn status(name: &str) -> String {
    systemctl(&["show", "--property=StatusText", "--value", name]).unwrap_or_default()
}

fn report(service: &Service, verb: &str) -> Result<()> {
    let (name, folder) = (&service.name, service.folder.display());
    let word = shell_path(&service.folder);
    print(&format!(
        "{verb} {name}, which mounts at {folder} now and at each login\n"
    ))?;
    // Such as that the API cannot be reached.
    let said = status(name);
    if let Some(remark) = said.strip_prefix(&format!("serving {folder}; ")) {
        print(&format!("warning: {}\n", one_line(remark, 400)))?;
    }
    if !user_manager::lingers() {
        print("It ends at logout. To have it from boot on: loginctl enable-linger\n")?;
    }
    print(&format!(
        "How it is: systemctl --user status '{name}'; to end it for good: vm0fs disable {word}\n"
    ))
}

/// What to do where there is no systemd of the user's.
fn without_systemd(
    error: &Error,
    program: &Path,
    options: &[(String, Option<String>)],
    folder: &Path,
    environment: &Environment,
) -> Error {
    let (Some(program), Some(folder)) = (program.to_str(), folder.to_str()) else {
        return not_text("the path of the program or of the folder");
    };
    let program = shell_word(program);
    let mut arguments = String::new();
    for (name, value) in options {
        arguments += &match value {
            Some(value) => format!(" --{name}={}", shell_word(value)),
            None => format!(" --{name}"),
        };
    }
    arguments += &format!(" {}", shell_word(folder));
    let command = format!("{program} mount{arguments}");
    let note = unseen(environment, &[], "cron");
    let note = note.map_or_else(String::new, |note| format!("\nNote: {note}"));
    Error::Setup(format!(
        "there is no systemd of yours to ask ({error}). Instead, one of\n  \
         at boot, by cron:    (crontab -l; echo {}) | crontab -\n  \
         at login:            echo {} >> ~/.profile\n  \
         by /etc/fstab:       {program} mount --print-fstab{arguments}{note}",
        // crontab(5) ends a command at a percent sign.
        shell_word(&format!("@reboot {command}").replace('%', "\\%")),
        shell_word(&format!("{command} 2>/dev/null")),
    ))
}

impl DisableArgs {
    /// Stops the service and removes it, and says what was done.
    ///
    /// # Errors
    /// [`Error::Setup`] where the folder has no service, or it cannot be stopped.
    pub fn run(self, environment: &Environment) -> Result<()> {
        let manager = Manager::seen_from(environment);
        let service = Service::at(self.mountpoint, environment, &manager.surroundings)?;
        if let Some(error) = manager.absent {
            return disable_files(&service, &error);
        }
        let (name, folder) = (&service.name, service.folder.display());
        let is_known = service.is("is-enabled")? || service.is("is-active")?;
        if !is_known && !service.drop_in.exists() {
            return Err(Error::Setup(format!(
                "{folder} has no service; these have: systemctl --user list-units 'vm0fs@*'"
            )));
        }
        systemctl(&["disable", "--now", name])?;
        for path in service.remove_files()? {
            print(&format!("removed {}\n", path.display()))?;
        }
        systemctl(&["daemon-reload"])?;
        // Fails for one that has not failed.
        let _ = systemctl(&["reset-failed", name]);
        print(&format!("stopped and disabled {name}\n"))?;
        print_left(&service.folder)
    }
}

/// Takes a dead mount away that no service is to take away any more, and says what is mounted
/// then.
fn print_left(folder: &Path) -> Result<()> {
    let shown = folder.display();
    if let Some(mount) = vm0fs_at(folder)? {
        if lives(mount) {
            return print(&format!(
                "{shown} is mounted still; end that with: vm0fs unmount {}\n",
                shell_path(folder)
            ));
        }
        unmount::unmount(folder, true, |_| ())?;
    }
    print(&format!("{shown} is not mounted any more\n"))
}

/// Removes the files of a service that no systemd knows.
fn disable_files(service: &Service, error: &Error) -> Result<()> {
    let removed = service.remove_files()?;
    let folder = service.folder.display();
    if removed.is_empty() {
        return Err(Error::Setup(format!(
            "{folder} has no service, and there is no systemd of yours to ask ({error}); what is \
             mounted ends with: vm0fs unmount {}",
            shell_path(&service.folder)
        )));
    }
    for path in removed {
        print(&format!("removed {}\n", path.display()))?;
    }
    print_left(&service.folder)
}
