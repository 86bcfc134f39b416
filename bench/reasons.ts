/**
 * Why Millrace misses targets: what was measured and what was tried, kept by hand. The page of
 * benchmarks shows a reason for as long as the newest results miss one of its targets.
 */
import type { TargetName } from "./targets.ts";

export interface Reason {
	/** What it is the reason for. */
	readonly targets: readonly TargetName[];
	readonly title: string;
	/** One paragraph of Markdown. */
	readonly text: string;
}

export const REASONS: readonly Reason[] = [
	{
		targets: [
			"beside-bare-loop:kafka-produce-written-1kib",
			"beside-bare-loop:kafka-produce-written-100b",
		],
		title: "CPU to produce beside the bare loop",
		text: `
The loop reads up to 1 MiB at a time and stores what it has read at once; it needs 0.27 s/GiB,
half of it the kernel's for storing. How much is read and stored at a time decides most of it: a
loop that does 64 KiB at a time needs 0.5-0.7 s/GiB, one with 128 KiB 0.4-0.6, and that is what
the broker has: a client sends requests of 128 KiB, each a batch that gets an offset and an answer
of its own. Records of 100 bytes come 1,024 in a batch, 100 KiB of values: a fourth more requests a
GiB. Beyond that the broker copies what came in pieces into one request. Tried: blocks allocated
ahead of the tail (kept: 0.60 s/GiB where it had been 0.70, and a sixth more records a second, the
same in six pairs of six); several batches with one write (nothing to gain with clients that send a
megabyte a request); stores into a mapping (twice the CPU).
`,
	},
	{
		targets: ["beside-bare-loop:kafka-consume-1kib", "beside-bare-loop:kafka-consume-100b"],
		title: "CPU to consume beside the bare loop",
		text: `
The loop is the best of three tries, 0.25 s/GiB in one round and 0.39 in another; beside a single
try the broker had 1.0x. A profile of a second and a half of the broker has 56 % of its time in the
kernel, 17 % of all in the copy into the socket, 40 % in Node (its own code and what it compiled:
requests, answers, sockets) and 2 % in the core. Tried: what the paragraph on Apache Kafka names.
`,
	},
	{
		targets: [
			"rate:websocket-produce-written-100b",
			"rate:websocket-produce-written-1kib",
			"rate:websocket-consume-batches-100b",
			"rate:websocket-consume-for-await-100b",
			"figure:start-empty",
		],
		title: "What a slower processor does not reach",
		text: `
The same work takes 1.4 to 2.3 times the CPU time on the Intel processor: a bare loop in C++ that
receives and stores 0.56 s/GiB where the AMD one needs 0.41, the client 4.5 s for a GiB of 100 byte
records where it needed 1.9, a WebSocket server in Node that does nothing 156 ms to start where it
took 110. Client and broker share two processors; the AMD ones reach 4.3 million produced, and 3.8
and 6.4 million consumed records a second, and a broker starts in 189 ms. The broker takes 0.2 to
0.7 of a processor at these rates, the client the rest.
`,
	},
	{
		targets: ["beside-without:websocket-slow-readers-1000"],
		title: "Slow readers",
		text: `
The target's fifth is less than the noise between rounds where anything else wants a processor. On
the Intel one a p99 was 26-44 ms from one round to the next, and that of five rounds with slow
readers 1.0, 1.4, 1.1, 1.4 and 1.3 times that without. On the AMD one, where it is 22 ms with
nobody else on the machine, four rounds had 0.97 to 1.06.
`,
	},
	{
		targets: ["share:core-append-1mib"],
		title: "Append in the core",
		text: `
The limit writes one buffer of 1 MiB again and again, which stays in the processor's cache, and
leaves the disk alone; the core reads batches that have left it, and has write-back begun every 8
MiB, as nobody may find gigabytes unwritten at the next flush: to a loop that needs 0.13 s/GiB
that adds 0.06. Tried: blocks allocated ahead of the tail (kept: a third less for writing);
write-back every 32 or 64 MiB (no difference).
`,
	},
	{
		targets: ["beside-disk:websocket-ack-latency-flushed"],
		title: "An ack that waits for the disk",
		text: `
Between two records the machine is idle, and an fdatasync of an idle one takes 160-230 us where
one behind another takes 70-110: processors and the disk's queue have to wake. A trace of single
acks, the tracer's own time included: 0.25-0.4 ms from the socket to the beginning of fdatasync,
as the flush thread begins when the event loop gives up the processor (the other is the client's),
0.28-0.35 ms fdatasync, and 0.2 ms until the event loop runs again and the answer is sent. Nothing
waits on purpose: a lone record is flushed at once, by the thread that is woken for it, and
whoever ends an fdatasync wakes the loop itself. Tried: no second flush for an ack that the one
under way covers (kept: it woke a thread in front of the ack's); blocks that are allocated, or
written, before (no difference at this pace).
`,
	},
	{
		targets: ["share:websocket-produce-flushed-1kib"],
		title: "Streaming with flushed acks over WebSocket",
		text: `
The limit is a thread that does nothing but write and sync. Here client and broker need 1.5 s of
CPU a GiB between them, so two processors end at 1.3 GiB/s, two thirds of the limit, before the
kernel's own threads have had any; without any flush the same load reaches 57 % of it. Flush and
append do overlap: a write of 128 KiB takes 24 us (median) while an fdatasync of 4 ms is under
way, and without one. Groups are larger than the limit's 1 MiB, and that gains little: 2.1 GB/s
with 4 MiB, 2.2 with 8. Tried: blocks allocated ahead (no slower to sync, less to write).
`,
	},
	{
		targets: [
			"beside-kafka-cost:kafka-consume-1kib",
			"beside-kafka-cost:kafka-consume-100b",
			"beside-kafka-rate:kafka-consume-100b",
		],
		title: "To consume beside Apache Kafka",
		text: `
To bring a GiB to a socket over loopback costs the sender 0.20-0.26 s, whatever does it: a C++
loop that sends from a mapping or by sendfile, 64 KiB to 1 MiB at a time, with a reader that looks
at the bytes, and the reader pays more for sendfile (0.30-0.37 s against 0.23). Kafka needs
0.29-0.37 s once its JVM is warm, so half of that is less than the copy itself; on a slower
processor the two need 0.47-0.49 and 0.50-0.68 s with this client, and 0.62-0.68 and 0.96-1.39 s
with Kafka's own tool in Java. Beyond it the
broker maps windows and their pages, and answers requests. Tried: windows whose buffers are used
again (kept: V8 collected 158 times a GiB, and 9 times now); pages brought in with madvise (no
gain); sendfile (no gain).
With records of 100 bytes the client is what ends the rate: it needs 2.5-3 s of CPU a GiB, the
brokers 0.3-0.4. Beside the broker it needs a fifth to a third more of it than beside Kafka for
batches of the same size: traced, it takes as many answers, but grows and trims its heap four times
as often and waits for its own other thread twice as often. The broker's side of an answer is one
read and one write of all of it; Kafka's arrives in more pieces.
`,
	},
	{
		targets: [
			"beside-echo-p99:websocket-ack-latency-written",
			"beside-echo-p50:websocket-ack-latency-written",
		],
		title: "An ack beside an echo",
		text: `
An ack takes 15-20 us more than an echo: the frame is decoded, a batch built, checked and written
to the page cache, and the answer encoded, in one turn of the loop. Of the slow ones a trace of
the scheduler shows that the broker was ready and waited 0.4-6 ms for a processor, five times a
second, behind the kernel's threads and those of V8 in client and broker; an echo, which needs a
fourth of the CPU time, waits less often. Tried: a load that sleeps between records (kept: p99
was 0.7-1.0 ms with one that spins, 0.2-0.6 since).
`,
	},
	{
		targets: [
			"beside-echo-p50:websocket-delivery-latency-written",
			"beside-echo-p99:websocket-delivery-latency-written",
		],
		title: "A delivery beside an echo",
		text: `
At this pace the scheduler has client and broker on one processor. A trace of single records, the
tracer's time included: 50 us from the frame to the answer; the answer wakes the client, which
takes the processor from the broker at once and reads it for 60 us; then the broker needs 30 us
until it has sent the delivery, and 20 us later the client reads that. Tried: answers sent behind
the deliveries (140 us where it had been 165, but an ack then waits for subscribers, so not kept);
no wake-up of the loop for what its own append made visible (no difference); credit given back in
portions by the SDK (kept: a frame of its own for every delivery was 8 % of the broker's CPU). Of
the slow ones five seconds of such a trace have 15 waits for a processor of more than 0.2 ms, among
22,000, and six of more than 1 ms, up to 5.4 ms: V8's own threads, of broker and client, collect
garbage for 1.5-5 ms at a time, and hold up what falls due meanwhile. An echo makes next to none.
`,
	},
	{
		targets: ["figure:websocket-ping-under-produce"],
		title: "A ping under full load",
		text: `
Two processors have to do what the load, the broker and the kernel's write-back want of more than
two, and a ping waits for a processor before it waits for the loop; the row "the loop's wait for a
processor" says for how long the broker's loop was ready and had none. Five seconds of the
scheduler's trace, on a machine where others took some per cent of the processors, have 206 such
waits of more than 1 ms, 972 ms together, the longest 32 ms: behind the load's threads, V8's
collection of garbage, write-back that the kernel does not interrupt for 18 ms, or nobody at all,
where the machine itself was held. The disk held the loop for 183 ms of six seconds in another one,
all but a write or two in fallocate: blocks are allocated ahead of the tail because that costs a
sixth less CPU. Tried: as much again each time as the segment has, from 4 to 64 MiB (kept: p99.9
was 94-271 ms in seven runs with 4 MiB each time, and 11 and 61 ms in the two since, on the same
machine); allocation on another thread (a write to the same file waits for it).
`,
	},
];
