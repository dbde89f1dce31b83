//! The one error type and the one errno table.
//!
//! Every failure keeps its cause in words (for the log and `.vm0fs/errors`)
//! until [`Error::errno`] reduces it to the number that the kernel wants.
//! Errors are cheap to clone, since one failed fetch answers many requests.

mod api;

pub use self::api::ApiError;

use std::{io, sync::Arc};

/// A result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, by what the caller is told.
///
/// Messages say what happened and to what; none may hold a token or a
/// presigned query.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No object of that name. Also an inode that names nothing.
    #[error("{0}: not found")]
    NotFound(String),
    /// A directory was needed.
    #[error("not a directory")]
    NotDirectory,
    /// Something other than a directory was needed.
    #[error("is a directory")]
    IsDirectory,
    /// The tree is read-only outside control files.
    #[error("read-only file system")]
    ReadOnly,
    /// The request makes no sense for this node (readlink of a file …).
    #[error("invalid request: {0}")]
    Invalid(String),
    /// The extended attribute does not exist on this node.
    #[error("no such attribute")]
    NoAttribute,
    /// No file here can have an extended attribute of that kind.
    #[error("attributes of that kind are not supported")]
    NotSupported,
    /// A caller's buffer is too small for the attribute.
    #[error("buffer too small")]
    Range,
    /// A name longer than one path component may be (255 bytes).
    #[error("name too long")]
    NameTooLong,
    /// A handle or inode that this mount never gave out, or has taken back.
    #[error("stale handle")]
    Stale,
    /// More was written than a request may be.
    #[error("{0}")]
    TooLarge(String),
    /// What the user has set up cannot work: a setting, the token, a mountpoint.
    #[error("{0}")]
    Setup(String),
    /// No source of settings has a token.
    #[error(
        "no API token. Log in with the vm0 CLI (`vm0 auth login`), or set VM0_API_KEY, or name a \
         file that holds it with --token-file. To look around without an account: `vm0fs demo`"
    )]
    NoToken,
    /// Access is refused by policy, with the reason.
    #[error("{0}")]
    Denied(String),
    /// The service answered with an error.
    #[error("{0}")]
    Api(Arc<ApiError>),
    /// The service or the object store could not be reached or broke off.
    #[error("{0}")]
    Transport(Arc<TransportError>),
    /// Nothing arrived for the time given by `--timeout`.
    #[error("{what}: no byte for {seconds} s (--timeout); try again, or check the network")]
    Timeout {
        /// What was being waited for.
        what: String,
        /// How long nothing came, in seconds.
        seconds: u64,
    },
    /// Nothing arrives, and a process wants to unmount.
    #[error("{0}: nothing came, and the mount is to be unmounted")]
    LetGo(String),
    /// The service sent something that is not what it promises.
    #[error("{what}: unexpected answer: {detail}")]
    BadAnswer {
        /// The request.
        what: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// What answers is no API v1: another server, another version, a page.
    #[error("{asked} was answered with {came}, which is not the VM0 API v1; {}", not_v1(*before))]
    NotV1 {
        /// The method and the address, without its query.
        asked: String,
        /// The status, and what the body is.
        came: String,
        /// Whether the same server has spoken v1 to this process before.
        before: bool,
    },
    /// An archive that is corrupt, truncated or not an archive.
    #[error("archive of version {version} is unusable: {detail}")]
    BadArchive {
        /// The version's id.
        version: String,
        /// What is wrong with it, and where.
        detail: String,
    },
    /// An archive over one of the limits that keep a bomb from doing harm.
    #[error("archive of version {version} is over a limit: {detail}")]
    Limit {
        /// The version's id.
        version: String,
        /// Which limit, its value, and the option that changes it where there is one.
        detail: String,
    },
    /// The cache cannot make room: over the ceiling, or the disk is full.
    #[error("no space in the cache: {0}")]
    NoSpace(String),
    /// A local file would be longer than this process may write.
    #[error("{0}")]
    LocalLimit(String),
    /// The cache or another local file failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, to which path.
        context: String,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// What an earlier worker of this mount met, or the process of another mount, in its
    /// words.
    #[error("{message}")]
    Earlier {
        /// What it said.
        message: String,
        /// The number that it had.
        errno: i32,
    },
    /// A defect in vm0fs itself: a panic in a fetch, an operation that never settles.
    #[error("internal error: {0} (please report this, with what `vm0fs doctor --report` prints)")]
    Internal(String),
}

/// What to do about a server that does not speak v1.
pub const NOT_V1_ADVICE: &str = "name a server that speaks it with --api-url or VM0_API_URL, or \
                                 look around without one: `vm0fs demo`";

fn not_v1(before: bool) -> &'static str {
    match before {
        false => NOT_V1_ADVICE,
        true => {
            "this server has spoken it before, so a gateway may be in front of it: try again, or \
             see that --api-url is right"
        }
    }
}

impl Error {
    /// What is said of an order that an earlier worker may have sent.
    pub fn may_be_sent(done: &str) -> Self {
        Self::Earlier {
            message: format!(
                "the process that served this mount ended while it sent this, so it may have been \
                 {done}; it was not sent again: look in runs/ before you try again"
            ),
            errno: libc::EIO,
        }
    }
}

/// Why no usable answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// Refused, unreachable, no such host, TLS failed: no server was reached.
    Connect,
    /// The connection broke before or inside an answer.
    Broken,
    /// No byte for the time allowed.
    Stalled,
    /// The answer would have led somewhere that must not be followed.
    Forbidden,
}

/// A failure below HTTP.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{request}: {message}")]
pub struct TransportError {
    /// What was asked, without its query.
    pub request: String,
    /// Why no answer came.
    pub kind: TransportKind,
    /// The cause in words, without secrets.
    pub message: String,
}

impl Error {
    /// Wraps an I/O error with what was being done; a full disk becomes [`Error::NoSpace`].
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        let context = context.into();
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace(format!(
                "{context}: {source}; free some space, or use --cache-dir"
            )),
            Some(libc::EFBIG) => Self::LocalLimit(format!(
                "{context}: a file may not grow that long here: the mount was started under a \
                 limit of file sizes (`ulimit -f`, systemd's LimitFSIZE), or the cache's file \
                 system has one; mount again without the limit, or use --cache-dir"
            )),
            _ => Self::Io {
                context,
                source: Arc::new(source),
            },
        }
    }

    /// The same for a file that is none of the cache's, where another disk can be full.
    pub fn file(context: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            context: context.into(),
            source: Arc::new(source),
        }
    }

    /// A thread that could not be started.
    pub fn no_thread(source: io::Error) -> Self {
        let context =
            "starting a thread; is a limit of processes or of memory reached (ulimit -u, -v)?";
        Self::io(context, source)
    }

    /// Whether a failure may be over the next time.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Timeout { .. } | Self::BadAnswer { .. } => true,
            // What a mount says, which gives its number only.
            Self::Earlier { errno, .. } => {
                [libc::EIO, libc::EAGAIN, libc::ENETUNREACH, libc::ETIMEDOUT].contains(errno)
            }
            _ => matches!(self.status(), Some(408 | 429 | 500..)),
        }
    }

    /// Whether it is one of permission.
    pub fn is_denied(&self) -> bool {
        self.errno() == libc::EACCES
    }

    /// The HTTP status where the service gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(api) => Some(api.status),
            _ => None,
        }
    }

    /// Whether the object asked for does not exist. Only the service itself
    /// can say so: a 404 without its JSON is a gateway's.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound(_) => true,
            Self::Api(api) => api.status == 404 && api.is_documented(),
            _ => false,
        }
    }

    /// The number the kernel is given: the only such table, exhaustive on purpose.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound(_) => libc::ENOENT,
            Self::NotDirectory => libc::ENOTDIR,
            Self::IsDirectory => libc::EISDIR,
            Self::ReadOnly => libc::EROFS,
            Self::Invalid(_) | Self::Setup(_) | Self::NoToken => libc::EINVAL,
            Self::NoAttribute => libc::ENODATA,
            Self::NotSupported => libc::EOPNOTSUPP,
            Self::Range => libc::ERANGE,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::Stale => libc::ESTALE,
            Self::Denied(_) => libc::EACCES,
            Self::Api(api) => api_errno(api),
            Self::Transport(transport) => match transport.kind {
                TransportKind::Connect => libc::ENETUNREACH,
                TransportKind::Stalled => libc::ETIMEDOUT,
                TransportKind::Broken | TransportKind::Forbidden => libc::EIO,
            },
            Self::Timeout { .. } | Self::LetGo(_) => libc::ETIMEDOUT,
            Self::NotV1 { before: false, .. } => libc::EPROTONOSUPPORT,
            // It may be over soon.
            Self::NotV1 { before: true, .. } => libc::EIO,
            Self::TooLarge(_) | Self::Limit { .. } | Self::LocalLimit(_) => libc::EFBIG,
            Self::NoSpace(_) => libc::ENOSPC,
            // The cause's own number would say something of the cache's files,
            // which the caller never named: to it, the file cannot be read.
            Self::Io { .. } => libc::EIO,
            Self::Earlier { errno, .. } => *errno,
            Self::BadAnswer { .. } | Self::BadArchive { .. } | Self::Internal(_) => libc::EIO,
        }
    }
}

/// Whether a file could not be opened because there is none of that path.
pub fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// The statuses of the service's error table; others by their class.
fn api_errno(api: &ApiError) -> i32 {
    match api.status {
        400 | 405 | 422 => libc::EINVAL,
        401 | 403 => libc::EACCES,
        404 | 410 if api.is_documented() => libc::ENOENT,
        409 => libc::EBUSY,
        429 => libc::EAGAIN,
        408 | 504 => libc::ETIMEDOUT,
        _ => libc::EIO,
    }
}

/// What a fetch fails with that needs more memory than there is.
pub(crate) fn no_memory() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_the_errno_of_the_table() {
        let api = |status| {
            Error::Api(Arc::new(ApiError {
                status,
                kind: "some_error".into(),
                ..ApiError::default()
            }))
        };
        let gateway = |status| {
            Error::Api(Arc::new(ApiError {
                status,
                ..ApiError::default()
            }))
        };
        let transport = |kind| {
            Error::Transport(Arc::new(TransportError {
                request: "GET /v1/runs".into(),
                kind,
                message: "refused".into(),
            }))
        };
        let not_v1 = |before| Error::NotV1 {
            asked: "x".into(),
            came: "y".into(),
            before,
        };
        let table = [
            (Error::NotFound("x".into()), libc::ENOENT),
            (Error::NotDirectory, libc::ENOTDIR),
            (Error::IsDirectory, libc::EISDIR),
            (Error::ReadOnly, libc::EROFS),
            (Error::Invalid("x".into()), libc::EINVAL),
            (Error::NoAttribute, libc::ENODATA),
            (Error::NotSupported, libc::EOPNOTSUPP),
            (Error::Range, libc::ERANGE),
            (Error::NameTooLong, libc::ENAMETOOLONG),
            (Error::Stale, libc::ESTALE),
            (Error::TooLarge("x".into()), libc::EFBIG),
            (Error::LocalLimit("x".into()), libc::EFBIG),
            (
                Error::io("x", io::Error::from_raw_os_error(libc::EFBIG)),
                libc::EFBIG,
            ),
            (Error::Setup("x".into()), libc::EINVAL),
            (Error::NoToken, libc::EINVAL),
            (Error::Denied("x".into()), libc::EACCES),
            (api(400), libc::EINVAL),
            (api(401), libc::EACCES),
            (api(403), libc::EACCES),
            (api(404), libc::ENOENT),
            (gateway(404), libc::EIO),
            (gateway(502), libc::EIO),
            (api(409), libc::EBUSY),
            (api(429), libc::EAGAIN),
            (api(500), libc::EIO),
            (api(502), libc::EIO),
            (api(504), libc::ETIMEDOUT),
            (transport(TransportKind::Connect), libc::ENETUNREACH),
            (transport(TransportKind::Broken), libc::EIO),
            (transport(TransportKind::Stalled), libc::ETIMEDOUT),
            (transport(TransportKind::Forbidden), libc::EIO),
            (
                Error::Timeout {
                    what: "x".into(),
                    seconds: 30,
                },
                libc::ETIMEDOUT,
            ),
            (Error::LetGo("x".into()), libc::ETIMEDOUT),
            (
                Error::BadAnswer {
                    what: "x".into(),
                    detail: "y".into(),
                },
                libc::EIO,
            ),
            (not_v1(false), libc::EPROTONOSUPPORT),
            (not_v1(true), libc::EIO),
            (
                Error::BadArchive {
                    version: "x".into(),
                    detail: "y".into(),
                },
                libc::EIO,
            ),
            (
                Error::Limit {
                    version: "x".into(),
                    detail: "y".into(),
                },
                libc::EFBIG,
            ),
            (Error::NoSpace("x".into()), libc::ENOSPC),
            (
                Error::io("x", io::Error::from_raw_os_error(libc::EACCES)),
                libc::EIO,
            ),
            (
                Error::io("x", io::Error::from_raw_os_error(libc::ENOSPC)),
                libc::ENOSPC,
            ),
            (Error::Internal("x".into()), libc::EIO),
        ];
        for (error, errno) in table {
            assert_eq!(error.errno(), errno, "{error:?}");
            assert!(
                errno != libc::ENOSYS,
                "ENOSYS switches an operation off for the mount"
            );
        }
    }
}
