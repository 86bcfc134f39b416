//! The same work for many, on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Does one piece of work for each job, on up to `threads_max` threads of which the caller's is
/// one. Results are in the order of the jobs.
pub(crate) fn side_by_side<J: Sync, R: Send>(
    threads_max: usize,
    jobs: &[J],
    work: impl Fn(&J) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work_some = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let result = work(job);
            done.lock().push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads_max.min(jobs.len()) {
            scope.spawn(work_some);
        }
        work_some();
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// As [`side_by_side`], of work that may fail: once a piece has, no other is begun.
///
/// # Errors
/// The failure of the first job that failed, in the order of the jobs.
pub(crate) fn try_side_by_side<J: Sync, E: Send>(
    threads_max: usize,
    jobs: &[J],
    work: impl Fn(&J) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let has_failed = AtomicBool::new(false);
    let work_unless_failed = |job: &J| {
        if has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        work(job).inspect_err(|_| has_failed.store(true, Ordering::Relaxed))
    };
    side_by_side(threads_max, jobs, work_unless_failed).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_no_other_work_is_begun() {
        let begun = Mutex::new(Vec::new());
        let failed = try_side_by_side(1, &[1, 2, 3, 4], |job| {
            begun.lock().push(*job);
            if *job == 2 { Err("the second") } else { Ok(()) }
        });
        assert_eq!(failed, Err("the second"));
        assert_eq!(begun.into_inner(), [1, 2]);
    }

    #[test]
    fn each_job_is_done_once_on_any_number_of_threads() {
        for threads_max in [1, 3, 8] {
            let jobs: Vec<usize> = (0..100).collect();
            let sum = AtomicUsize::new(0);
            let done: Result<(), ()> = try_side_by_side(threads_max, &jobs, |job| {
                sum.fetch_add(job + 1, Ordering::Relaxed);
                Ok(())
            });
            assert_eq!(done, Ok(()));
            assert_eq!(sum.into_inner(), 5_050);
        }
    }
}
