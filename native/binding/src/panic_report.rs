//! What a panic leaves behind: a file for whoever has to find out why.

use std::{
    backtrace::Backtrace,
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    panic::{self, PanicHookInfo},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// A thread that panics again and again would fill the disk.
const REPORTS_MAX: u32 = 10;

/// Has each panic of this process written to `PREFIX-NUMBER.txt`, beside what is done already.
pub(crate) fn report_panics_to(prefix: String) {
    let count = AtomicU32::new(0);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        let number = count.fetch_add(1, Ordering::Relaxed);
        if number >= REPORTS_MAX {
            return;
        }
        let path = PathBuf::from(format!("{prefix}-{number}.txt"));
        let written = write_report(&path, info);
        let mut stderr = io::stderr();
        // Nobody is left to be told where stderr is closed, and a panic in here ends the process.
        drop(match written {
            Ok(()) => writeln!(stderr, "report: {}", path.display()),
            Err(error) => writeln!(stderr, "no report: {}: {error}", path.display()),
        });
    }));
}

fn write_report(path: &Path, info: &PanicHookInfo<'_>) -> io::Result<()> {
    let (mut directory, mut options) = (DirBuilder::new(), OpenOptions::new());
    directory.recursive(true);
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    if let Some(parent) = path.parent() {
        directory.create(parent)?;
    }
    let mut file = options.open(path)?;
    let current = thread::current();
    let name = current.name().unwrap_or("without a name");
    let version = env!("CARGO_PKG_VERSION");
    let backtrace = Backtrace::force_capture();
    write!(file, "core {version}, thread {name}: {info}\n\n{backtrace}")?;
    file.sync_all()
}
