//! Refuses file systems on which several machines may share a database. Locks and shared memory do not reach
//! from one machine to another (sqlite.org/wal.html), and each machine has its own boot clock.

use std::path::Path;

use crate::driver::stores::Fuse;

/// The reason why leases cannot be kept in this directory; `None` if they can. `fuse` decides about file
/// systems in user space.
pub(super) fn problem(directory: &Path, fuse: Fuse) -> Option<String> {
    let kind = network_kind(directory)?;
    if kind == FUSE && fuse == Fuse::TrustAsLocal {
        return None;
    }
    let hint = if kind == FUSE { "; or, if it is local, add ?filesystem=local to the URL" } else { "" };
    Some(format!(
        "{} is on a {kind} file system, which other machines may share; keep the database on a local \
         disk{hint}",
        directory.display()
    ))
}

/// Whether the file itself is a mount point, as when a single file is mounted into a container. Its directory
/// then belongs to that container only, and with it SQLite's log and shared memory and our lock file.
#[cfg(target_os = "linux")]
pub(super) fn is_mounted_alone(file: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(name) = std::ffi::CString::new(file.as_os_str().as_bytes()) else { return false };
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the name ends in a NUL, and the kernel fills in the struct, which is valid as zeros too.
    let found = unsafe {
        if libc::statx(libc::AT_FDCWD, name.as_ptr(), 0, 0, found.as_mut_ptr()) != 0 {
            return false;
        }
        found.assume_init()
    };
    // Kernels before 5.8 do not report the attribute.
    found.stx_attributes_mask & found.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_mounted_alone(_file: &Path) -> bool {
    false
}

const FUSE: &str = "FUSE";

#[cfg(target_os = "linux")]
fn network_kind(directory: &Path) -> Option<&'static str> {
    let found = nix::sys::statfs::statfs(directory).ok()?;
    classify(found.filesystem_type().0 as u32)
}

/// The name of a file system that several machines may share, by the magic number of statfs(2).
#[cfg(any(target_os = "linux", test))]
fn classify(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9P",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x7375_7245 => "Coda",
        0x564c => "NCP",
        0x786f_4256 => "VirtualBox shared folder",
        0xbacb_acbc => "VMware shared folder",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x2003_0528 => "OrangeFS",
        0x6163_6673 => "ACFS",
        0x0131_11a8 => "IBRIX",
        0xaad7_aaea => "PanFS",
        0x7c7c_6673 => "Parallels shared folder",
        0xbeef_dead => "StorNext",
        0xa501_fcf5 => "VxFS",
        0x6573_5546 => FUSE,
        _ => return None,
    })
}

#[cfg(target_vendor = "apple")]
fn network_kind(directory: &Path) -> Option<&'static str> {
    let found = nix::sys::statfs::statfs(directory).ok()?;
    match found.filesystem_type_name() {
        "nfs" => Some("NFS"),
        "smbfs" => Some("SMB"),
        "afpfs" => Some("AFP"),
        "webdav" => Some("WebDAV"),
        "macfuse" | "osxfuse" => Some(FUSE),
        _ => None,
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn network_kind(_directory: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_several_machines_are_known_by_their_magic() {
        // The numbers of linux/magic.h and of statfs(2).
        let network = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x5346_414f, 0x00c3_6400, 0x0bd0_0bd0];
        assert!(network.into_iter().all(|magic| classify(magic).is_some()));
        let more = [0x0116_1970, 0x7461_636f, 0x7375_7245, 0x786f_4256, 0x6573_5546];
        assert!(more.into_iter().all(|magic| classify(magic).is_some()));
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs
        let local = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010];
        assert!(local.into_iter().all(|magic| classify(magic).is_none()));
    }

    #[test]
    fn a_temporary_directory_is_local() {
        assert_eq!(problem(&std::env::temp_dir(), Fuse::Refuse), None);
    }
}
