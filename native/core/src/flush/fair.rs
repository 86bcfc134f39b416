//! Native threads for long work of many owners: one owner's in order, all owners' in turn.
//!
//! Work is done in steps, and before each the owner is chosen that has used the threads least. So
//! an owner that asks for little waits for one step of the others at most, however much they have
//! queued, and owners that ask for more than there is share it.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use hashbrown::HashMap;
use lru::LruCache;
use parking_lot::Mutex;

use super::work::WorkPool;

/// Owners without work whose use is remembered, so that asking piece by piece gains nothing.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not zero");

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);

/// What one step of a piece of work was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it took, in nanoseconds.
    pub cost_ns: u64,
    /// Nothing is left to do.
    pub is_done: bool,
}

/// A piece of work. It is dropped when it is done, or has panicked.
pub trait Job: Send {
    /// Does the next part, as small as it can be: others wait meanwhile.
    fn step(&mut self) -> Step;
}

/// A pool of threads that owners share fairly.
pub struct FairPool {
    queue: Arc<FairQueue>,
    threads: WorkPool,
}

#[derive(Default)]
struct FairQueue(Mutex<State>);

struct State {
    owners: HashMap<Owner, Work>,
    /// Owners with work that no thread is at, by what they have used and then by their turn.
    ready: BTreeSet<(u64, u64, Owner)>,
    /// What owners have used that have no work now.
    remembered: LruCache<Owner, u64>,
    /// What the owner served last had used: where newcomers begin, or they would be served alone
    /// until they had caught up.
    floor_ns: u64,
    turn: u64,
}

/// The work of one owner.
struct Work {
    jobs: VecDeque<Box<dyn Job>>,
    used_ns: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            owners: HashMap::new(),
            ready: BTreeSet::new(),
            remembered: LruCache::new(REMEMBERED_MAX),
            floor_ns: 0,
            turn: 0,
        }
    }
}

impl FairPool {
    /// A pool of up to `threads_max` threads called `name`. With 0 it only queues; simulations
    /// call [`step`](Self::step).
    pub fn new(name: &'static str, threads_max: usize) -> Self {
        Self { queue: Arc::default(), threads: WorkPool::new(name, threads_max) }
    }

    /// Queues a job behind those of its owner. After [`close`](Self::close) it is done at once by
    /// the caller.
    pub fn spawn(&self, owner: Owner, job: Box<dyn Job>) {
        if self.queue.push(owner, job) {
            let queue = Arc::clone(&self.queue);
            // Whoever is at work goes on until nobody is ready: one call for each that becomes so
            // by new work is enough.
            self.threads.spawn(Box::new(move || while queue.step() {}));
        }
    }

    /// Does one step on the caller's thread; whether there was one to do.
    pub fn step(&self) -> bool {
        self.queue.step()
    }

    /// Does all queued work, then ends the threads.
    pub fn close(&self) {
        self.threads.close();
    }
}

impl FairQueue {
    /// Whether the owner has become ready by this.
    fn push(&self, owner: Owner, job: Box<dyn Job>) -> bool {
        let state = &mut *self.0.lock();
        if let Some(work) = state.owners.get_mut(&owner) {
            work.jobs.push_back(job);
            return false;
        }
        let used_ns = state.remembered.pop(&owner).unwrap_or(0).max(state.floor_ns);
        state.owners.insert(owner, Work { jobs: VecDeque::from([job]), used_ns });
        state.make_ready(owner, used_ns);
        true
    }

    fn step(&self) -> bool {
        let Some((owner, mut job)) = self.take() else {
            return false;
        };
        // A job that panics is over; what it was about is its own guard's to settle.
        let step = catch_unwind(AssertUnwindSafe(|| job.step()))
            .unwrap_or(Step { cost_ns: 0, is_done: true });
        let unfinished = if step.is_done {
            // Before the next one begins, which may rely on all that this one did.
            drop(job);
            None
        } else {
            Some(job)
        };
        self.give_back(owner, unfinished, step.cost_ns);
        true
    }

    /// The first job of the owner whose turn it is; nobody else is served of it meanwhile.
    fn take(&self) -> Option<(Owner, Box<dyn Job>)> {
        let state = &mut *self.0.lock();
        let (used_ns, _, owner) = state.ready.pop_first()?;
        state.floor_ns = state.floor_ns.max(used_ns);
        let job = state.owners.get_mut(&owner)?.jobs.pop_front()?;
        Some((owner, job))
    }

    fn give_back(&self, owner: Owner, unfinished: Option<Box<dyn Job>>, cost_ns: u64) {
        let state = &mut *self.0.lock();
        let Some(work) = state.owners.get_mut(&owner) else {
            return;
        };
        // Steps too short to be measured count, too.
        work.used_ns = work.used_ns.saturating_add(cost_ns.max(1));
        let used_ns = work.used_ns;
        if let Some(job) = unfinished {
            work.jobs.push_front(job);
        }
        if work.jobs.is_empty() {
            state.owners.remove(&owner);
            state.remembered.put(owner, used_ns);
        } else {
            state.make_ready(owner, used_ns);
        }
    }
}

impl State {
    fn make_ready(&mut self, owner: Owner, used_ns: u64) {
        self.turn += 1;
        self.ready.insert((used_ns, self.turn, owner));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    type Done = Arc<Mutex<Vec<(Owner, usize)>>>;

    /// Steps that each cost the same; notes itself when all are done.
    struct Steps {
        owner: Owner,
        number: usize,
        left: usize,
        cost_ns: u64,
        done: Done,
    }

    impl Job for Steps {
        fn step(&mut self) -> Step {
            self.left -= 1;
            let is_done = self.left == 0;
            if is_done {
                self.done.lock().push((self.owner, self.number));
            }
            Step { cost_ns: self.cost_ns, is_done }
        }
    }

    const HEAVY: Owner = Owner(1);
    const LIGHT: Owner = Owner(2);

    fn spawn(pool: &FairPool, done: &Done, owner: Owner, number: usize, cost_ns: u64) {
        let job = Steps { owner, number, left: 2, cost_ns, done: Arc::clone(done) };
        pool.spawn(owner, Box::new(job));
    }

    #[test]
    fn who_asks_for_little_waits_for_one_step_of_who_asks_for_much() {
        let (pool, done) = (FairPool::new("test", 0), Done::default());
        for number in 0..100 {
            spawn(&pool, &done, HEAVY, number, 1_000_000);
        }
        for round in 0..10 {
            assert!(pool.step());
            spawn(&pool, &done, LIGHT, round, 1_000);
            assert!(pool.step() && pool.step());
            assert_eq!(done.lock().last(), Some(&(LIGHT, round)));
        }
    }

    #[test]
    fn who_asks_piece_by_piece_is_not_taken_for_a_newcomer() {
        let (pool, done) = (FairPool::new("test", 0), Done::default());
        // Somebody who always has work keeps the common measure going.
        for number in 0..100 {
            spawn(&pool, &done, Owner(3), number, 1_000_000);
        }
        for round in 0..10 {
            spawn(&pool, &done, HEAVY, round, 1_000_000);
            while !done.lock().contains(&(HEAVY, round)) {
                assert!(pool.step());
            }
            spawn(&pool, &done, HEAVY, 100 + round, 1_000_000);
            spawn(&pool, &done, LIGHT, round, 1);
            assert!(pool.step() && pool.step() && pool.step());
            assert!(done.lock().contains(&(LIGHT, round)), "round {round}: {done:?}");
            while !done.lock().contains(&(HEAVY, 100 + round)) {
                assert!(pool.step());
            }
        }
    }

    #[test]
    fn newcomers_do_not_keep_others_out_until_they_have_caught_up() {
        let (pool, done) = (FairPool::new("test", 0), Done::default());
        for number in 0..100 {
            spawn(&pool, &done, HEAVY, number, 1_000_000);
        }
        for _ in 0..100 {
            assert!(pool.step());
        }
        let before = done.lock().len();
        for number in 0..100 {
            spawn(&pool, &done, LIGHT, number, 1_000_000);
        }
        for _ in 0..100 {
            assert!(pool.step());
        }
        let heavy = done.lock().iter().skip(before).filter(|(owner, _)| *owner == HEAVY).count();
        assert!((24..=26).contains(&heavy), "{heavy} of 50");
    }

    #[test]
    fn every_owners_jobs_are_done_in_order_by_many_threads_even_beside_a_panic() {
        struct Panics;
        impl Job for Panics {
            fn step(&mut self) -> Step {
                panic!("one job panics");
            }
        }
        for threads in [0, 1, 4] {
            let (pool, done) = (FairPool::new("test", threads), Done::default());
            for number in 0..1_000 {
                let owner = Owner(number as u64 % 7);
                spawn(&pool, &done, owner, number, number as u64 % 13);
                if number == 500 {
                    pool.spawn(owner, Box::new(Panics));
                }
            }
            pool.close();
            let done = done.lock();
            assert_eq!(done.len(), 1_000);
            for owner in (0..7).map(Owner) {
                let of_owner: Vec<_> = done.iter().filter(|(of, _)| *of == owner).collect();
                assert!(of_owner.len() > 100);
                assert!(of_owner.is_sorted(), "{owner:?} with {threads} threads");
            }
        }
    }

    #[test]
    fn a_job_is_dropped_before_the_next_of_its_owner_begins() {
        struct Counts(Arc<AtomicUsize>, usize);
        impl Job for Counts {
            fn step(&mut self) -> Step {
                assert_eq!(self.0.load(Ordering::Relaxed), self.1);
                Step { cost_ns: 1, is_done: true }
            }
        }
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (pool, dropped) = (FairPool::new("test", 3), Arc::new(AtomicUsize::new(0)));
        for number in 0..1_000 {
            pool.spawn(HEAVY, Box::new(Counts(Arc::clone(&dropped), number)));
        }
        pool.close();
        assert_eq!(dropped.load(Ordering::Relaxed), 1_000);
    }
}
