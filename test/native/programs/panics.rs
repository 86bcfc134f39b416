//! Panics on threads of its own: `panics PREFIX COUNT`.

#[path = "../../../native/binding/src/panic_report.rs"]
mod panic_report;

#[inline(never)]
fn fail_deliberately() {
    panic!("the sky fell");
}

fn main() {
    let mut words = std::env::args().skip(1);
    let prefix = words.next().expect("a prefix");
    let count: u32 = words.next().and_then(|word| word.parse().ok()).expect("a count");
    panic_report::report_panics_to(prefix);
    for _ in 0..count {
        let thread = std::thread::Builder::new().name("flusher".into()).spawn(fail_deliberately);
        assert!(thread.expect("a thread").join().is_err());
    }
    println!("goes on");
}
