//! The addresses to listen on and the directory to store in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};

use super::{Check, Finding};

const DIRECTORY: &str = "store.path";

/// Who has a port that is taken.
#[derive(Debug, Clone, Copy)]
pub enum Holder {
    Unknown,
    /// A relay runs here with the same store: it will be that one.
    ThisRelay,
}

pub fn address(key: &str, address: SocketAddr, holder: Holder) -> Check {
    judge_address(key, address, try_bind(address), holder)
}

/// Binds as the listeners do, except that the port is not shared (SO_REUSEPORT): another relay that listens there
/// makes it fail.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // As the listeners do: an IPv6 address for all takes IPv4 clients too.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())
}

fn judge_address(key: &str, address: SocketAddr, bound: io::Result<()>, holder: Holder) -> Check {
    let Err(error) = bound else {
        return Check::good(key, format!("{address} is free"));
    };
    let port = address.port();
    let finding = match (error.raw_os_error(), holder) {
        (Some(libc::EADDRINUSE), Holder::ThisRelay) => {
            let seen = format!("{address} is taken, by the relay that runs here with this store");
            return Check::good(key, seen);
        }
        (Some(libc::EADDRINUSE), Holder::Unknown) => Finding {
            what: format!("port {port} is taken"),
            why: format!("another process listens on {address}"),
            remedy: format!(
                "Find it with ss -ltnp 'sport = :{port}' and end it, or choose another port: \
                 --set {key}={}:PORT.",
                bracketed(address)
            ),
        },
        (Some(libc::EACCES), _) => Finding {
            what: format!("port {port} is not allowed"),
            why:
                "ports below net.ipv4.ip_unprivileged_port_start (1024 by default) need a privilege"
                    .to_owned(),
            remedy: "Choose a higher port, or give the privilege: \
                     AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit."
                .to_owned(),
        },
        (Some(libc::EADDRNOTAVAIL), _) => Finding {
            what: format!("{} is no address of this machine", address.ip()),
            why: "a listener needs an address of an interface here".to_owned(),
            remedy: format!(
                "See ip address for those that there are, or listen on all: --set {key}=0.0.0.0:{port}."
            ),
        },
        (Some(_) | None, _) => Finding {
            what: format!("{address} cannot be listened on"),
            why: error.to_string(),
            remedy: format!("Choose another address with --set {key}=ADDRESS:PORT."),
        },
    };
    Check::wrong(key, finding)
}

/// The address without its port, as it stands before one.
fn bracketed(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

pub fn directory(path: &Path) -> Check {
    judge_directory(path, try_write(path))
}

/// What stands in the way of writing below a path, and where.
#[derive(Debug)]
struct Obstacle {
    place: PathBuf,
    error: io::Error,
}

/// Writes, syncs and removes a file in the directory, or in the one that it would be made in.
fn try_write(path: &Path) -> Result<(), Obstacle> {
    let obstacle = |place: &Path, error| Obstacle {
        place: place.to_owned(),
        error,
    };
    let path = std::path::absolute(path).map_err(|error| obstacle(path, error))?;
    // A path below a file is "not a directory" rather than "not found".
    let mut place = path.as_path();
    loop {
        match fs::metadata(place) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(obstacle(place, io::ErrorKind::NotADirectory.into())),
            Err(error) => match (error.kind(), place.parent()) {
                (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, Some(parent)) => {
                    place = parent;
                }
                (_, _) => return Err(obstacle(place, error)),
            },
        }
    }
    let probe = place.join(format!(".corelay-probe-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|file| write_synced(&file, place));
    let removed = match &written {
        Ok(()) => fs::remove_file(&probe),
        Err(_) => {
            // It may not be there; what went wrong first is what counts.
            let _ = fs::remove_file(&probe);
            Ok(())
        }
    };
    written.and(removed).map_err(|error| obstacle(place, error))
}

fn write_synced(mut file: &File, directory: &Path) -> io::Result<()> {
    file.write_all(b"corelay")?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

fn judge_directory(path: &Path, written: Result<(), Obstacle>) -> Check {
    let Err(Obstacle { place, error }) = written else {
        return Check::good(DIRECTORY, format!("{} is writable", path.display()));
    };
    let remedy = match error.kind() {
        io::ErrorKind::NotADirectory => {
            "Move the file away, or choose another place: --set store.path=DIRECTORY.".to_owned()
        }
        io::ErrorKind::PermissionDenied => format!(
            "Give {} to the relay's user (chown), or choose another place: --set store.path=DIRECTORY.",
            place.display()
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            "Mount it writable (in the systemd unit: ReadWritePaths), or choose another place: \
             --set store.path=DIRECTORY."
                .to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Make room, or choose another place: --set store.path=DIRECTORY.".to_owned()
        }
        // Not an enum of ours: every other way of failing has its own words in `why`.
        _ => "Choose another place: --set store.path=DIRECTORY.".to_owned(),
    };
    Check::wrong(
        DIRECTORY,
        Finding {
            what: format!("{} cannot be written", path.display()),
            why: format!("writing and syncing a file in {}: {error}", place.display()),
            remedy,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn wrong(check: Check) -> Finding {
        match check.outcome {
            Outcome::Wrong(finding) => finding,
            other => panic!("it should be wrong, and is {other:?}"),
        }
    }

    #[test]
    fn each_refusal_of_an_address_has_its_remedy() {
        let table = [
            (libc::EADDRINUSE, "port 443 is taken", "ss -ltnp"),
            (
                libc::EACCES,
                "port 443 is not allowed",
                "CAP_NET_BIND_SERVICE",
            ),
            (
                libc::EADDRNOTAVAIL,
                "::1 is no address",
                "--set listen.tcp=0.0.0.0:443",
            ),
            (libc::EMFILE, "cannot be listened on", "ADDRESS:PORT"),
        ];
        let address = "[::1]:443".parse().expect("it is an address");
        for (errno, what, remedy) in table {
            let error = io::Error::from_raw_os_error(errno);
            let finding = wrong(judge_address(
                "listen.tcp",
                address,
                Err(error),
                Holder::Unknown,
            ));
            assert!(finding.what.contains(what), "{finding:?}");
            assert!(finding.remedy.contains(remedy), "{finding:?}");
        }
    }

    #[test]
    fn a_port_of_the_relay_that_runs_here_is_no_fault() {
        let address = "[::1]:443".parse().expect("it is an address");
        let taken = || Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        let check = judge_address("listen.tcp", address, taken(), Holder::ThisRelay);
        assert!(matches!(check.outcome, Outcome::Good { .. }), "{check:?}");
        let denied = Err(io::Error::from_raw_os_error(libc::EACCES));
        wrong(judge_address(
            "listen.tcp",
            address,
            denied,
            Holder::ThisRelay,
        ));
    }

    #[test]
    fn each_refusal_of_the_directory_has_its_remedy() {
        let table = [
            (libc::ENOTDIR, "Move the file away"),
            (libc::EACCES, "chown"),
            (libc::EROFS, "ReadWritePaths"),
            (libc::ENOSPC, "Make room"),
            (libc::EIO, "another place"),
        ];
        for (errno, remedy) in table {
            let obstacle = Obstacle {
                place: PathBuf::from("/srv"),
                error: io::Error::from_raw_os_error(errno),
            };
            let finding = wrong(judge_directory(Path::new("/srv/data"), Err(obstacle)));
            assert!(finding.remedy.contains(remedy), "{finding:?}");
            assert!(finding.why.contains("in /srv:"), "{finding:?}");
        }
    }

    #[test]
    fn a_directory_is_tried_and_left_as_it_was() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        for path in [directory.path().to_owned(), directory.path().join("a/b")] {
            let check = super::directory(&path);
            assert!(matches!(check.outcome, Outcome::Good { .. }), "{check:?}");
        }
        let left: Vec<_> = fs::read_dir(directory.path())
            .expect("it is still there")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let finding = wrong(super::directory(&file.path().join("data")));
        assert!(
            finding.why.contains(&file.path().display().to_string()),
            "{finding:?}"
        );
        assert!(finding.remedy.contains("Move the file away"), "{finding:?}");
    }

    #[test]
    fn a_directory_that_nobody_can_write_is_wrong() {
        let finding = wrong(super::directory(Path::new("/proc/corelay")));
        assert!(
            finding.what.contains("/proc/corelay cannot be written"),
            "{finding:?}"
        );
    }
}
