/** Frames come out of a connection's bytes as they went in, however the network cut them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameAssembler, FrameScratch } from "../../src/kafka/frames.ts";
import { seed } from "../seed.ts";

const FRAME_BYTES_MAX = 5_000_000;
const SCRATCH_BYTES_MAX = 2_097_152;

/** A frame behind its length. */
function withLength(frame: Uint8Array): Buffer {
	const length = Buffer.alloc(4);
	length.writeInt32BE(frame.length);
	return Buffer.concat([length, frame]);
}

/** A frame of so many bytes that begins with an API key. */
function frameOf(bytes: number, apiKey = 3): Buffer {
	const frame = Buffer.alloc(bytes, bytes % 251);
	frame.writeInt16BE(apiKey);
	return frame;
}

function takeAll(frames: FrameAssembler, scratch?: FrameScratch): Buffer[] {
	const taken: Buffer[] = [];
	while (frames.hasFrame()) {
		const { apiKey, length } = frames;
		const frame = frames.take(scratch);
		expect(frame.readInt16BE()).toBe(apiKey);
		expect(frame.length).toBe(length);
		taken.push(scratch === undefined ? frame : Buffer.from(frame));
	}
	return taken;
}

describe("frames", () => {
	test("are the same wherever they are cut", () => {
		const frame = fc.uint8Array({ minLength: 8, maxLength: 300 });
		const cuts = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 200 });
		const lists = fc.array(frame, { minLength: 1, maxLength: 12 });
		fc.assert(
			fc.property(lists, cuts, fc.boolean(), (sent, sizes, hasScratch) => {
				const frames = new FrameAssembler(FRAME_BYTES_MAX);
				const scratch = hasScratch ? new FrameScratch() : undefined;
				const bytes = Buffer.concat(sent.map(withLength));
				const taken: Buffer[] = [];
				for (let at = 0, turn = 0; at < bytes.length; turn++) {
					const size = sizes[turn % sizes.length] as number;
					frames.push(Buffer.from(bytes.subarray(at, at + size)));
					at += size;
					// Frames may wait for a while, too.
					if (turn % 3 > 0) taken.push(...takeAll(frames, scratch));
				}
				taken.push(...takeAll(frames, scratch));
				expect(taken.map((each) => [...each])).toEqual(sent.map((each) => [...each]));
				expect(frames.bytes).toBe(0);
			}),
			{ seed },
		);
	});

	test("wait for their last byte", () => {
		const bytes = withLength(frameOf(20, 18));
		for (let cut = 0; cut < bytes.length; cut++) {
			const frames = new FrameAssembler(FRAME_BYTES_MAX);
			frames.push(bytes.subarray(0, cut));
			expect(frames.hasFrame()).toBe(false);
			expect(frames.bytes).toBe(cut);
			frames.push(bytes.subarray(cut));
			expect(frames.hasFrame()).toBe(true);
			expect(frames.apiKey).toBe(18);
			expect(frames.take().equals(bytes.subarray(4))).toBe(true);
		}
	});

	test.each([-1, 0, 7, 101, 2_147_483_647, -2_147_483_648])(
		"of %i bytes are refused before they come",
		(bytes) => {
			const frames = new FrameAssembler(100);
			const length = Buffer.alloc(4);
			length.writeInt32BE(bytes);
			frames.push(length.subarray(0, 3));
			expect(frames.hasFrame()).toBe(false);
			frames.push(length.subarray(3));
			expect(() => frames.hasFrame()).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
		},
	);

	test.each([8, 100])("of %i bytes are taken", (bytes) => {
		const frames = new FrameAssembler(100);
		frames.push(withLength(frameOf(bytes)));
		expect(frames.hasFrame()).toBe(true);
	});

	test("that are forgotten leave nothing behind", () => {
		const frames = new FrameAssembler(FRAME_BYTES_MAX);
		frames.push(withLength(frameOf(100)).subarray(0, 50));
		expect(frames.hasFrame()).toBe(false);
		frames.clear();
		expect(frames.bytes).toBe(0);
		frames.push(withLength(frameOf(9)));
		expect(takeAll(frames)).toEqual([frameOf(9)]);
	});

	test("in crumbs are copied together, so that no object is kept for each", () => {
		const frame = frameOf(20_000);
		const bytes = withLength(frame);
		const frames = new FrameAssembler(FRAME_BYTES_MAX);
		const crumbs = [...bytes].map((byte) => Buffer.from([byte]));
		for (const crumb of crumbs) frames.push(crumb);
		// What was copied is not missed. 20,004 crumbs are four of 4,096, 56 of 64 and 36 of one.
		const kept = 36;
		for (const crumb of crumbs.slice(0, -kept)) crumb.fill(0);
		expect(frames.hasFrame()).toBe(true);
		expect(frames.take().equals(frame)).toBe(true);
	});

	test("in large pieces are not copied until they are whole", () => {
		const bytes = withLength(frameOf(300_000));
		const frames = new FrameAssembler(FRAME_BYTES_MAX);
		for (let at = 0; at < bytes.length; at += 2_000) frames.push(bytes.subarray(at, at + 2_000));
		bytes.fill(7, 4);
		expect(frames.hasFrame()).toBe(true);
		expect(frames.take().equals(Buffer.alloc(300_000, 7))).toBe(true);
	});
});

describe("memory", () => {
	/** A frame that comes in two pieces. */
	function pieces(frames: FrameAssembler, frame: Buffer): void {
		const bytes = withLength(frame);
		frames.push(bytes.subarray(0, 10));
		frames.push(bytes.subarray(10));
		expect(frames.hasFrame()).toBe(true);
	}

	test("of a frame that came in one piece is that piece", () => {
		const frames = new FrameAssembler(FRAME_BYTES_MAX);
		const bytes = withLength(frameOf(100));
		frames.push(bytes);
		expect(frames.hasFrame()).toBe(true);
		expect(frames.take(new FrameScratch()).buffer).toBe(bytes.buffer);
	});

	test("in which frames are put together is used again", () => {
		const frames = new FrameAssembler(FRAME_BYTES_MAX);
		const scratch = new FrameScratch();
		pieces(frames, frameOf(100));
		const first = frames.take(scratch);
		expect(first.equals(frameOf(100))).toBe(true);
		pieces(frames, frameOf(SCRATCH_BYTES_MAX));
		const second = frames.take(scratch);
		expect(second.buffer).toBe(first.buffer);
		expect(second.equals(frameOf(SCRATCH_BYTES_MAX))).toBe(true);
		pieces(frames, frameOf(SCRATCH_BYTES_MAX + 1));
		const large = frames.take(scratch);
		expect(large.buffer).not.toBe(first.buffer);
		expect(second.equals(frameOf(SCRATCH_BYTES_MAX))).toBe(true);
	});

	test("is a frame's own where it is not to be used again", () => {
		const frames = new FrameAssembler(FRAME_BYTES_MAX);
		pieces(frames, frameOf(100));
		const first = frames.take();
		pieces(frames, frameOf(100));
		expect(frames.take().buffer).not.toBe(first.buffer);
		expect(first.buffer.byteLength).toBe(100);
	});
});
