//! How a folder is written that several users may have in common. All who may use it can use
//! what is made below it, whatever the umask of the process that makes it.

use super::super::owner::owner;
use nix::unistd::{AccessFlags, Gid, Group, access};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

/// The rights of a folder that those below it get: all but the bit that changes the user.
const FOLDER: u32 = 0o3777;
/// Those that an object gets: a file that is no program.
const OBJECT: u32 = 0o666;
/// Its owner's.
const OWN: u32 = 0o600;

/// A folder that is there, and what is below it.
#[derive(Clone)]
pub(super) struct Folder {
    /// The folder that has to exist: it would be made on the disk below a file system
    /// that is not mounted.
    pub(super) top: PathBuf,
    /// The folder below it of this format.
    pub(super) root: PathBuf,
}

/// How writing an object has ended.
pub(super) enum Put {
    Written,
    /// There was one already.
    There,
    /// What is there belongs to this user, and no other one may replace it.
    Refused(String),
}

/// What all get that is made below a folder.
struct Rights {
    mode: u32,
    gid: u32,
}

impl Folder {
    pub(super) fn new(top: PathBuf, format: &str) -> Self {
        let root = top.join(format);
        Self { top, root }
    }

    /// The file of the object of a name in hexadecimal.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(&name[..1]).join(&name[1..])
    }

    /// Writes an object, and leaves one that is there unless it is to be replaced.
    pub(super) fn put(&self, name: &str, object: &[u8], replace: bool) -> io::Result<Put> {
        let put = self.put_beside(name, object, replace);
        put.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => self.explained(error, name),
            _ => error,
        })
    }

    fn put_beside(&self, name: &str, object: &[u8], replace: bool) -> io::Result<Put> {
        let about = fs::metadata(&self.top)?;
        let rights = Rights {
            mode: about.mode(),
            gid: about.gid(),
        };
        let path = self.path(name);
        for folder in [&self.root, &self.root.join(&name[..1])] {
            rights.make(folder)?;
        }
        let (beside, mut file) = create_beside(&path)?;
        rights.give(&file, rights.mode & OBJECT | OWN);
        let written = file.write_all(object);
        let put = written.and_then(|()| publish(&beside, &path, replace));
        // After a rename there is none.
        let _ = fs::remove_file(&beside);
        match put {
            // In a sticky folder only its owner may take an object away.
            Err(error) if replace && error.kind() == ErrorKind::PermissionDenied => {
                overwrite(&path, object)
            }
            put => put,
        }
    }

    /// Removes an object, if it is there; gives whose it is, where that user alone may.
    pub(super) fn remove(&self, name: &str) -> io::Result<Option<String>> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            // Another machine prunes too.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                fs::symlink_metadata(&path).map(|about| Some(owner(&about)))
            }
            removed => removed.map(|()| None),
        }
    }

    /// Whose an object is that is there; `None` also where its folder cannot be entered.
    pub(super) fn owner(&self, name: &str) -> Option<String> {
        let about = fs::symlink_metadata(self.path(name));
        about.ok().map(|about| owner(&about))
    }

    /// Why those of the folder's group cannot use an object that this user has written.
    pub(super) fn closed_to_group(&self, name: &str) -> io::Result<Option<String>> {
        let about = fs::metadata(&self.top)?;
        // What all others may, the group need not be for.
        let is_for_group = about.mode() >> 3 & !about.mode() & 0o7 != 0;
        let path = self.path(name);
        for made in path.ancestors().take(3).filter(|_| is_for_group) {
            if fs::metadata(made)?.gid() != about.gid() {
                let group = Group::from_gid(Gid::from_raw(about.gid())).ok().flatten();
                let group = group.map_or(about.gid().to_string(), |group| group.name);
                return Ok(Some(format!(
                    "{} is for the members of the group {group}, and {} could not be given to \
                     it, so they cannot use what this user writes; make the user a member \
                     (usermod -aG {group} NAME), log in anew, and try again",
                    self.top.display(),
                    made.display()
                )));
            }
        }
        Ok(None)
    }

    /// A refusal with the folder that it comes from.
    fn explained(&self, error: io::Error, name: &str) -> io::Error {
        let last = self.root.join(&name[..1]);
        let writes = AccessFlags::W_OK | AccessFlags::X_OK;
        let mut folders = [&self.top, &self.root, &last].into_iter();
        let refuses = folders.find_map(|folder| {
            let about = fs::metadata(folder).ok()?;
            let is_closed = access(folder, writes).is_err();
            is_closed.then(|| {
                let (folder, owner) = (folder.display(), owner(&about));
                let mode = about.mode() & 0o7777;
                format!("{error}: this user may not write in {folder} of {owner}, mode {mode:04o}")
            })
        });
        refuses.map_or(error, io::Error::other)
    }
}

impl Rights {
    /// Makes a folder where there is none. One of this user gets the rights also where it was
    /// there: a writer may have been killed before it gave them.
    fn make(&self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(self.mode & FOLDER).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        // A link may have been put there that leads to another folder of this user.
        options
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
        if let Ok(opened) = options.open(folder) {
            self.give(&opened, self.mode & FOLDER);
        }
        Ok(())
    }

    /// Gives a file or folder the group, and what it lacks of these rights. Where that is
    /// refused, it is as the file system has it: some have one owner and one mode for all.
    fn give(&self, file: &File, mode: u32) {
        let Ok(about) = file.metadata() else { return };
        // The group first, or the bit that hands it on would go.
        if about.gid() != self.gid {
            let _ = fchown(file, None, Some(self.gid));
        }
        if about.mode() & mode != mode {
            let _ = file.set_permissions(Permissions::from_mode(mode));
        }
    }
}

/// A new file beside that of an object, which no listing shows (`leftovers`).
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 1_u64;
    loop {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!("#{number}"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(OWN);
        match options.open(&beside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            opened => return Ok((beside.into(), opened?)),
        }
    }
}

/// Gives a file its name: if there is none of the name, or in its place.
fn publish(beside: &Path, path: &Path, replace: bool) -> io::Result<Put> {
    if !replace {
        match fs::hard_link(beside, path).map_err(|error| (error.kind(), error)) {
            Ok(()) => return Ok(Put::Written),
            Err((ErrorKind::AlreadyExists, _)) => return Ok(Put::There),
            // Some file systems have no hard links, and say so in these ways.
            Err((ErrorKind::PermissionDenied | ErrorKind::Unsupported, _)) => {
                if path.try_exists()? {
                    return Ok(Put::There);
                }
            }
            Err((_, error)) => return Err(error),
        }
    }
    fs::rename(beside, path).map(|()| Put::Written)
}

/// Writes into the file of an object that another user has made, and lets others write. What
/// a reader sees of it meanwhile is a damaged object.
fn overwrite(path: &Path, object: &[u8]) -> io::Result<Put> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let opened = options.open(path).and_then(|file| {
        let about = file.metadata()?;
        Ok((file, about))
    });
    match opened {
        // A second name may be one that is no object's.
        Ok((mut file, about)) if about.is_file() && about.nlink() == 1 => {
            file.set_len(0)?;
            file.write_all(object)?;
            Ok(Put::Written)
        }
        _ => Ok(Put::Refused(owner(&fs::symlink_metadata(path)?))),
    }
}
