//! Native threads for everything that may wait for a disk.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

/// One piece of work.
pub type Work = Box<dyn FnOnce() + Send>;

/// Stack of a worker: it runs shallow code only.
const STACK_BYTES: usize = 512 << 10;

/// A pool of threads that starts one when work waits and all others are busy.
///
/// A pool of no threads only queues; a simulation does the work by [`drive`](Self::drive).
/// A piece of work that panics ends neither its thread nor the pool: what it was about must
/// have been made unusable by its own guard.
pub struct WorkPool {
    shared: Arc<Shared>,
    name: &'static str,
    threads_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    idle_count: usize,
    is_closed: bool,
}

impl WorkPool {
    /// A pool of up to `threads_max` threads called `name`.
    pub fn new(name: &'static str, threads_max: usize) -> Self {
        let shared = Shared { queue: Mutex::default(), wake: Condvar::new() };
        Self { shared: Arc::new(shared), name, threads_max, threads: Mutex::default() }
    }

    /// Queues a piece of work. After [`close`](Self::close), and when no thread can be started,
    /// it is done at once by the caller, so that nothing is ever left undone.
    pub fn spawn(&self, work: Work) {
        let mut queue = self.shared.queue.lock();
        if queue.is_closed {
            drop(queue);
            return work();
        }
        queue.work.push_back(work);
        if self.threads_max == 0 {
            return;
        }
        if queue.idle_count >= queue.work.len() {
            self.shared.wake.notify_one();
            return;
        }
        drop(queue);
        let mut threads = self.threads.lock();
        if threads.len() < self.threads_max {
            match self.start_thread() {
                Ok(thread) => threads.push(thread),
                Err(_) if threads.is_empty() => {
                    drop(threads);
                    self.drive();
                }
                Err(_) => {}
            }
        }
        self.shared.wake.notify_one();
    }

    /// Does the work that is queued now, on the caller's thread.
    pub fn drive(&self) {
        loop {
            let work = self.shared.queue.lock().work.pop_front();
            match work {
                Some(work) => work(),
                None => return,
            }
        }
    }

    fn start_thread(&self) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        Builder::new()
            .name(self.name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&shared))
    }

    /// Does all queued work, then ends the threads.
    pub fn close(&self) {
        self.shared.queue.lock().is_closed = true;
        self.shared.wake.notify_all();
        if self.threads_max == 0 {
            self.drive();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A worker that drops the last reference to its own pool cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
    }
}

impl Drop for WorkPool {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(shared: &Shared) {
    loop {
        let mut queue = shared.queue.lock();
        let work = loop {
            if let Some(work) = queue.work.pop_front() {
                break work;
            }
            if queue.is_closed {
                return;
            }
            queue.idle_count += 1;
            shared.wake.wait(&mut queue);
            queue.idle_count -= 1;
        };
        drop(queue);
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn all_work_is_done_before_close_returns_even_beside_a_panic() {
        for threads in [0, 1, 4] {
            let pool = WorkPool::new("test", threads);
            let done = Arc::new(AtomicUsize::new(0));
            for number in 0..1000 {
                let done = Arc::clone(&done);
                pool.spawn(Box::new(move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    assert!(threads == 0 || number != 500, "one piece of work panics");
                }));
            }
            pool.close();
            assert_eq!(done.load(Ordering::Relaxed), 1000);
        }
    }
}
