//! `salvage/NAME/`: what repairs cut out, as it was, and their reports.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    env::{
        Env, File, OpenMode,
        transfer::{read_full, replace_durably, write_full},
    },
    error::{Error, Result},
};

/// The directory in the data directory.
pub(super) const SALVAGE: &str = "salvage";
const REPORT_FILE: &str = "report.json";
const STEP_BYTES: u64 = 1 << 20;
/// What is given up around bytes that a disk does not read.
const SECTOR_BYTES: u64 = 4096;

/// Where one repair keeps what it cuts out.
pub(super) struct Salvage {
    root: PathBuf,
    path: PathBuf,
}

impl Salvage {
    pub(super) fn new(data_directory: &Path, name: &str) -> Self {
        let root = data_directory.join(SALVAGE);
        Self { path: root.join(name), root }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory below this one, durably.
    pub(super) fn directory(&self, env: &Env, name: &str) -> Result<PathBuf> {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        env.files
            .create_directory(&path)
            .and_then(|()| env.files.sync_directory(&self.path))
            .and_then(|()| env.files.sync_directory(&self.root))
            .and_then(|()| env.files.sync_directory(self.root.parent().unwrap_or(&self.root)))
            .map_err(|error| Error::io(format_args!("creating {}", path.display()), &error))?;
        Ok(path)
    }

    /// Keeps a copy of a whole file, durably; returns where.
    pub(super) fn keep_file(&self, env: &Env, label: &str, path: &Path) -> Result<PathBuf> {
        let failed =
            |error: io::Error| Error::io(format_args!("copying {}", path.display()), &error);
        let file = env.files.open(path, OpenMode::Read).map_err(failed)?;
        let bytes = file.len().map_err(failed)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.keep(env, label, &name.unwrap_or_default(), &*file, 0..bytes)
    }

    /// Keeps a copy of part of a file as `name`, durably; returns where. What the disk does not
    /// read is zeros in it.
    pub(super) fn keep(
        &self,
        env: &Env,
        label: &str,
        name: &str,
        from: &dyn File,
        range: std::ops::Range<u64>,
    ) -> Result<PathBuf> {
        // Labels of partitions without a readable `partition.json` are paths.
        let directory = self.directory(env, &label.replace('/', "_"))?;
        let path = directory.join(name);
        let failed =
            |error: io::Error| Error::io(format_args!("writing {}", path.display()), &error);
        let to = env.files.open(&path, OpenMode::OpenOrCreate).map_err(failed)?;
        to.truncate(0).map_err(failed)?;
        let mut position = range.start;
        while position < range.end {
            let bytes = copy_step(from, &*to, position, &range).map_err(failed)?;
            position += bytes;
        }
        to.sync_data().map_err(failed)?;
        env.files.sync_directory(&directory).map_err(failed)?;
        Ok(path)
    }

    /// Replaces the report, durably.
    pub(super) fn store_report(&self, env: &Env, json: &[u8]) -> Result<()> {
        let directory = self.directory(env, "")?;
        replace_durably(&*env.files, &directory, REPORT_FILE, json)
            .map_err(|error| Error::io(format_args!("writing {REPORT_FILE}"), &error))
    }
}

/// Copies some bytes from a position on, zeros in place of what cannot be read; returns how many.
fn copy_step(
    from: &dyn File,
    to: &dyn File,
    position: u64,
    range: &std::ops::Range<u64>,
) -> io::Result<u64> {
    let mut bytes = (range.end - position).min(STEP_BYTES);
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    if read_full(from, &mut buffer, position).is_err() {
        bytes = bytes.min(SECTOR_BYTES);
        buffer.truncate(usize::try_from(bytes).map_err(io::Error::other)?);
        if read_full(from, &mut buffer, position).is_err() {
            buffer.fill(0);
        }
    }
    write_full(to, &[&buffer], position - range.start)?;
    Ok(bytes)
}
