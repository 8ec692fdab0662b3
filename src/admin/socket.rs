//! Where the control socket is, however deep the data folder lies.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the data folder.
pub const SOCKET: &str = "control.sock";

/// Octets of a path that every system takes as a socket's address (`sun_path` is 108 octets on Linux,
/// 104 elsewhere, its NUL included).
const PATH_MAX: usize = 100;

/// A path to something in a folder that is short enough for a socket's address. Where the real path
/// is too long, it leads through the open folder's descriptor and holds while this value lives.
struct ShortPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl ShortPath {
    fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= PATH_MAX {
            return Ok(Self { path, _folder: None });
        }
        let open = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
        Ok(Self { path, _folder: Some(open) })
    }
}

/// Listens on the control socket of the site whose data is in `data`; the caller holds the store's
/// lock, so that a socket which is there already is a dead one's and is replaced. Only this user can
/// connect: the socket takes its name when its permissions are set, not before.
pub fn bind(data: &Path) -> io::Result<UnixListener> {
    let fresh = format!("{SOCKET}.new");
    let long = data.join(&fresh);
    match std::fs::remove_file(&long) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let short = ShortPath::new(data, &fresh)?;
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(&long, Permissions::from_mode(0o600))?;
    std::fs::rename(&long, data.join(SOCKET))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to the control socket in `data`; none when nobody listens there.
pub(super) fn connect(data: &Path) -> io::Result<Option<UnixStream>> {
    let connected = ShortPath::new(data, SOCKET).and_then(|short| UnixStream::connect(&short.path));
    match connected {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_folder_has_a_socket_too_and_a_stale_one_is_replaced() {
        let top = tempfile::tempdir().unwrap();
        for depth in [0, 1, 4] {
            let data =
                top.path().join("long-name-of-a-folder-".repeat(depth.max(1))).join("x/".repeat(depth));
            std::fs::create_dir_all(&data).unwrap();
            assert!(connect(&data).unwrap().is_none());
            drop(bind(&data).unwrap());
            assert!(connect(&data).unwrap().is_none(), "a socket nobody listens on");
            let _listener = bind(&data).unwrap();
            assert!(connect(&data).unwrap().is_some());
            let mode = std::fs::metadata(data.join(SOCKET)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
