//! How long acks of flushed appends take, with few and with many active partitions.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use millrace_core::{
    error::Code,
    log::{Log, config::LogConfig, waiters::Acknowledge},
    registry::Store,
};

use crate::{
    NOW_MS, VALUE_BYTES, batch_of, env, machine::Usage, machine::device_bytes_written, options,
    specs,
};

struct Ack {
    due: Instant,
    times: Arc<Mutex<Vec<Duration>>>,
}

impl Acknowledge for Ack {
    fn done(&self, code: Code) {
        assert_eq!(code, Code::None);
        self.times.lock().unwrap().push(self.due.elapsed());
    }
}

/// An open loop: appends are due at a steady rate, whatever the acks do, and an ack's time counts
/// from when its append was due. The directory is made where it is missing.
pub(crate) fn measure(directory: &Path, active: u32, rate: u32, seconds: u32) {
    let threads = std::env::var("SCALE_THREADS").ok().and_then(|text| text.parse().ok());
    let options = millrace_core::registry::StoreOptions {
        flush_threads_max: threads.unwrap_or(16),
        ..options(directory)
    };
    let (env, calls) = env(true);
    let store = Store::open(env, options).unwrap();
    let is_existing = directory.join("partitions").exists();
    std::fs::write(directory.join("partitions"), active.to_string()).unwrap();
    let topics = store.open_topics(&specs(active, &LogConfig::default(), is_existing)).unwrap();
    let mut logs: Vec<Arc<Log>> = Vec::new();
    for &topic in &topics {
        let count = store.topic(topic).unwrap().partition_count();
        logs.extend((0..count).map(|partition| store.log(topic, partition).unwrap()));
    }
    // Files, descriptors and threads are there before anything is measured.
    run(&logs, rate, Duration::from_secs(1));
    calls.take();
    let (from, device_from) = (Usage::now(), device_bytes_written());
    let mut times = run(&logs, rate, Duration::from_secs(u64::from(seconds)));
    let usage = Usage::now().since(&from);
    let device_bytes = device_bytes_written() - device_from;
    times.sort_unstable();
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        times[index.min(times.len() - 1)].as_secs_f64() * 1000.0
    };
    println!(
        "{active} active, {rate}/s: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms; {} appends",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
    println!("  {usage}; device {} KiB; {}", device_bytes >> 10, calls.take());
    store.close().unwrap();
}

fn run(logs: &[Arc<Log>], rate: u32, time: Duration) -> Vec<Duration> {
    let times = Arc::<Mutex<Vec<Duration>>>::default();
    let batch = batch_of(VALUE_BYTES);
    let start = Instant::now();
    let mut appended: usize = 0;
    while start.elapsed() < time {
        let due_count = (start.elapsed().as_secs_f64() * f64::from(rate)) as usize;
        while appended < due_count {
            let due = start + Duration::from_secs_f64(appended as f64 / f64::from(rate));
            let log = &logs[appended % logs.len()];
            let end = log.append(&batch, NOW_MS).unwrap().next_offset;
            log.when_flushed(end, Arc::new(Ack { due, times: Arc::clone(&times) }));
            appended += 1;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    while times.lock().unwrap().len() < appended {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::mem::take(&mut *times.lock().unwrap())
}
