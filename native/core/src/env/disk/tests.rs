use std::{io::IoSlice, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use super::*;
use crate::env::conformance;

#[test]
fn keeps_what_every_file_system_promises() {
    let directory = tempfile::tempdir().unwrap();
    conformance::check_all(&DiskFileSystem, directory.path());
}

#[test]
fn files_and_directories_are_the_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let nested = directory.path().join("a").join("b");
    DiskFileSystem.create_directory(&nested).unwrap();
    DiskFileSystem.open(&nested.join("new"), OpenMode::CreateNew).unwrap();
    DiskFileSystem.open(&nested.join("other"), OpenMode::OpenOrCreate).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.path().join("a")), 0o700);
    assert_eq!(mode(nested.clone()), 0o700);
    assert_eq!(mode(nested.join("new")), 0o600);
    assert_eq!(mode(nested.join("other")), 0o600);
}

#[test]
fn names_that_are_not_utf8_are_left_out_of_listings() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff");
    fs::write(directory.path().join(odd), b"").unwrap();
    fs::write(directory.path().join("even"), b"").unwrap();
    let listed = DiskFileSystem.list(directory.path()).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "even");
}

#[cfg(target_os = "linux")]
#[test]
fn the_kind_decides_what_data_may_lie_on() {
    assert_eq!(kind_of_magic(0xef53), FileSystemKind::Local); // ext4
    assert_eq!(kind_of_magic(0x5846_5342), FileSystemKind::Local); // xfs
    assert_eq!(kind_of_magic(0x794c_7630), FileSystemKind::Local); // overlayfs
    assert_eq!(kind_of_magic(0x9123_683e), FileSystemKind::CopyOnWrite);
    assert_eq!(kind_of_magic(0x6969), FileSystemKind::Network("nfs".to_owned()));
    assert_eq!(kind_of_magic(0xff53_4d42), FileSystemKind::Network("cifs".to_owned()));
    assert_eq!(kind_of_magic(0x6573_5546), FileSystemKind::Network("fuse".to_owned()));
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() {
        assert_eq!(DiskFileSystem.kind(shared_memory).unwrap(), FileSystemKind::Memory);
    }
    assert!(DiskFileSystem.kind(Path::new("/nowhere/at/all")).is_err());
}

/// A tmpfs of its own size, mounted for one test.
struct SmallTmpfs {
    directory: tempfile::TempDir,
}

impl SmallTmpfs {
    /// `None`, with the reason printed, where the test may not mount.
    fn mount(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(directory.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { directory }),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).into_owned();
                eprintln!("skipped: a tmpfs cannot be mounted here: {reason}");
                None
            }
            Err(error) => {
                eprintln!("skipped: there is no mount command here: {error}");
                None
            }
        }
    }
}

impl Drop for SmallTmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.directory.path()).status();
        assert!(unmounted.unwrap().success(), "the test's tmpfs stays mounted");
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_a_store_would_raise_a_signal() {
    let Some(tmpfs) = SmallTmpfs::mount(1 << 20) else {
        return;
    };
    let root = tmpfs.directory.path();
    let file = DiskFileSystem.open(&root.join("file"), OpenMode::CreateNew).unwrap();
    file.truncate(4 << 20).unwrap();
    let window = file.map_writable(0, 4 << 20).unwrap();
    window.populate(0, 512 << 10).unwrap();
    window.store(0, &[&[1; 512 << 10]]);
    assert!(window.populate(0, 4 << 20).is_err(), "there is room for 1 MiB only");

    let error = file.allocate(0, 4 << 20, true).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let other = DiskFileSystem.open(&root.join("other"), OpenMode::CreateNew).unwrap();
    let block = vec![1; 64 << 10];
    let full = (0..32_u64)
        .find_map(|index| other.write_at(&[IoSlice::new(&block)], index * (64 << 10)).err())
        .expect("2 MiB fit into 1 MiB");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(DiskFileSystem.space(root).unwrap().total_bytes, 1 << 20);
    assert_eq!(DiskFileSystem.kind(root).unwrap(), FileSystemKind::Memory);
}

#[test]
fn a_directory_is_opened_again_where_descriptors_are_short_for_a_moment() {
    let mut failures = vec![Errno::NFILE, Errno::MFILE];
    let opened = patiently(|| failures.pop().map_or(Ok("opened"), Err));
    assert_eq!(opened.unwrap(), "opened");
    let mut tries = 0;
    let refused = patiently(|| -> rustix::io::Result<()> {
        tries += 1;
        Err(Errno::IO)
    });
    assert_eq!((refused.unwrap_err().raw_os_error(), tries), (Some(5), 1));
}
