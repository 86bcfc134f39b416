//! Open files and writable windows of the simulated file system.

use std::{
    io::{self, IoSlice},
    path::PathBuf,
    sync::Arc,
};

use rustix::io::Errno;

use super::{
    faults::{Call, Subject},
    machine::{Machine, Node, State},
};
use crate::env::{
    File, FileSystemKind, WritableMapping,
    mapping::{MappedWindow, Mapping, slots::Slot},
};

/// An open file.
#[derive(Clone)]
pub(super) struct SimulatedFile {
    pub(super) machine: Arc<Machine>,
    pub(super) node: Arc<Node>,
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

impl SimulatedFile {
    fn subject(&self, position: u64, bytes: u64) -> Subject<'_> {
        Subject { path: &self.path, range: position..position.saturating_add(bytes) }
    }

    fn expect_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }

    fn write(&self, state: &State, data: Vec<u8>, position: u64) -> io::Result<usize> {
        let bytes = data.len();
        self.node.charge.cover(position, bytes as u64)?;
        let mut content = self.node.content.lock();
        content.write(data, position)?;
        content.touch(state.now_ms());
        Ok(bytes)
    }

    /// What a failing write has written all the same.
    fn write_part(&self, state: &mut State, mut data: Vec<u8>, position: u64) -> io::Result<()> {
        data.truncate(state.random.below(data.len() as u64 + 1) as usize);
        match self.write(state, data, position) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            other => other.map(drop),
        }
    }
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let subject = self.subject(0, 0);
        self.machine.call(Call::Inspect, &subject, |_| self.node.content.lock().live().len())
    }

    fn modified_ms(&self) -> io::Result<Option<i64>> {
        let subject = self.subject(0, 0);
        self.machine.call(Call::Inspect, &subject, |_| Ok(self.node.content.lock().modified_ms()))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let subject = self.subject(position, buffer.len() as u64);
        self.machine.call(Call::Read, &subject, |state| {
            let asked = state.transfer_bytes(buffer.len());
            let (buffer, _) = buffer.split_at_mut(asked);
            self.node.content.lock().live().read_at(buffer, position)
        })
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.expect_writable()?;
        let mut data: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if data.is_empty() {
            return Ok(0);
        }
        let part = data.clone();
        self.machine.call_or(
            Call::Write,
            &self.subject(position, data.len() as u64),
            |state| {
                data.truncate(state.transfer_bytes(data.len()));
                self.write(state, data, position)
            },
            |state| self.write_part(state, part, position),
        )
    }

    fn allocate(&self, position: u64, bytes: u64, extend: bool) -> io::Result<bool> {
        self.expect_writable()?;
        self.machine.call(Call::Allocate, &self.subject(position, bytes), |state| {
            if state.settings.kind != FileSystemKind::Local {
                return Ok(false);
            }
            self.node.charge.cover(position, bytes)?;
            self.node.content.lock().allocate(position, bytes, extend)
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.expect_writable()?;
        self.machine.call(Call::Truncate, &self.subject(bytes, 0), |state| {
            let mut content = self.node.content.lock();
            content.truncate(bytes)?;
            content.touch(state.now_ms());
            drop(content);
            self.node.charge.cut(bytes);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.machine.call_or(
            Call::SyncData,
            &self.subject(0, 0),
            |state| {
                if state.settings.ignores_sync_of(&self.path) {
                    return Ok(());
                }
                self.node.content.lock().sync()
            },
            |state| self.node.content.lock().fail_sync(&mut state.random),
        )
    }

    fn start_writeback(&self, position: u64, bytes: u64) -> io::Result<()> {
        self.machine.call(Call::StartWriteback, &self.subject(position, bytes), |_| Ok(()))
    }

    fn map(&self, position: u64, bytes: usize, slot: Option<Slot>) -> io::Result<Mapping> {
        self.machine.call(Call::Map, &self.subject(position, bytes as u64), |_| {
            self.node.content.lock().live().map(position, bytes, slot)
        })
    }

    fn map_writable(&self, position: u64, bytes: usize) -> io::Result<Box<dyn WritableMapping>> {
        self.expect_writable()?;
        self.machine.call(Call::Map, &self.subject(position, bytes as u64), |_| {
            let window = self.node.content.lock().live().window(position, bytes)?;
            Ok(Box::new(SimulatedWindow { file: self.clone(), position, window }) as Box<_>)
        })
    }
}

/// A writable window whose stores the disk need not know of yet.
struct SimulatedWindow {
    file: SimulatedFile,
    position: u64,
    window: MappedWindow,
}

impl WritableMapping for SimulatedWindow {
    fn populate(&self, start: usize, bytes: usize) -> io::Result<()> {
        let position = self.position.saturating_add(start as u64);
        let subject = self.file.subject(position, bytes as u64);
        self.file.machine.call(Call::Populate, &subject, |_| {
            self.file.node.charge.cover(position, bytes as u64)?;
            self.window.populate(start, bytes)
        })
    }

    fn store(&self, start: usize, slices: &[&[u8]]) {
        let data = slices.concat();
        let position = self.position.saturating_add(start as u64);
        let subject = self.file.subject(position, data.len() as u64);
        // Stored first, so that a store outside of the window panics as the contract says. Memory
        // of a machine without power is nobody's business, so nothing hangs on the answer below.
        self.window.store(start, slices);
        let noted = self.file.machine.call(Call::Store, &subject, |state| {
            let mut content = self.file.node.content.lock();
            content.stored(data, position);
            content.touch(state.now_ms());
            Ok(())
        });
        debug_assert!(noted.as_ref().err().is_none_or(super::is_power_cut), "{noted:?}");
    }

    fn bytes(&self) -> usize {
        self.window.bytes()
    }
}
