//! Checks that the command of `elector run` can be started, and explains why not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{env, io};

use nix::unistd::{AccessFlags, access};

use crate::exit::{self, Failure};

/// Fails if the command cannot be started, so that no term begins for it.
pub fn find(command: &OsStr) -> Result<(), Failure> {
    let executable = |path: &Path| access(path, AccessFlags::X_OK).is_ok() && path.is_file();
    if command.as_bytes().contains(&b'/') {
        let path = Path::new(command);
        return match path.metadata() {
            Ok(_) if executable(path) => Ok(()),
            Ok(_) => Err(cannot_start(command, libc::EACCES)),
            Err(error) => Err(cannot_start(command, error.raw_os_error().unwrap_or(libc::ENOENT))),
        };
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let found: Vec<_> =
        env::split_paths(&path).map(|folder| folder.join(command)).filter(|p| p.is_file()).collect();
    match found.iter().any(|path| executable(path)) {
        true => Ok(()),
        false if found.is_empty() || command.is_empty() => Err(cannot_start(command, libc::ENOENT)),
        false => Err(cannot_start(command, libc::EACCES)),
    }
}

/// The failure to start the command, from its `errno`.
pub fn cannot_start(command: &OsStr, errno: i32) -> Failure {
    let name = command.to_string_lossy();
    if matches!(errno, libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM) {
        // The system lacks a resource; the command itself is fine.
        return Failure::system(format_args!("start CMD '{name}'"), &io::Error::from_raw_os_error(errno));
    }
    let missing = matches!(errno, libc::ENOENT | libc::ENOTDIR);
    let message = match errno {
        libc::ENOENT if !name.contains('/') => {
            format!("CMD '{name}' was not found in PATH; use its path, or install it")
        }
        libc::ENOENT if Path::new(command).exists() => {
            format!("CMD '{name}' cannot be started: the interpreter in its first line (#!) was not found")
        }
        libc::EACCES => {
            format!("CMD '{name}' is not executable; make it so (chmod +x), or put its interpreter first")
        }
        _ => {
            let reason = io::Error::from_raw_os_error(errno);
            format!("CMD '{name}' cannot be started: {reason}; use the path of a program")
        }
    };
    Failure { code: if missing { exit::NOT_FOUND } else { exit::NOT_EXECUTABLE }, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_or_processes_is_no_fault_of_the_command() {
        let failure = cannot_start(OsStr::new("work"), libc::EMFILE);
        assert_eq!(failure.code, exit::INTERNAL);
        assert!(failure.message.contains("no file descriptor left"), "{}", failure.message);
        let failure = cannot_start(OsStr::new("work"), libc::EAGAIN);
        assert_eq!(failure.code, exit::INTERNAL);
        assert!(failure.message.contains("ulimit -u"), "{}", failure.message);
    }
}
