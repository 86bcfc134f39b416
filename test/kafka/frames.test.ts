/** Frames come out of a connection's bytes as they went in, however the network cut them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameAssembler, FrameBlocks } from "../../src/kafka/frames.ts";
import { seed } from "../seed.ts";

const FRAME_BYTES_MAX = 5_000_000;
const BLOCK_BYTES = 2_097_152;

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

function assembler(blocks = new FrameBlocks()): FrameAssembler {
	return new FrameAssembler(FRAME_BYTES_MAX, blocks);
}

function takeAll(frames: FrameAssembler): Buffer[] {
	const taken: Buffer[] = [];
	while (frames.hasFrame()) {
		const { apiKey, length } = frames;
		const frame = frames.take();
		expect(frame.readInt16BE()).toBe(apiKey);
		expect(frame.length).toBe(length);
		taken.push(Buffer.from(frame));
	}
	return taken;
}

describe("frames", () => {
	test("are the same wherever they are cut, and whatever comes to lie where they lay", () => {
		const frame = fc.uint8Array({ minLength: 8, maxLength: 300 });
		const cuts = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 200 });
		const lists = fc.array(frame, { minLength: 1, maxLength: 12 });
		fc.assert(
			fc.property(lists, cuts, (sent, sizes) => {
				const frames = assembler();
				const bytes = Buffer.concat(sent.map(withLength));
				const memory = Buffer.alloc(120);
				const taken: Buffer[] = [];
				for (let at = 0, turn = 0; at < bytes.length; turn++) {
					const size = sizes[turn % sizes.length] as number;
					const copied = bytes.copy(memory, 0, at, at + size);
					frames.push(memory.subarray(0, copied));
					at += size;
					// Frames may wait for a while, too.
					if (turn % 3 > 0) taken.push(...takeAll(frames));
					frames.keep();
					memory.fill(0xff);
				}
				taken.push(...takeAll(frames));
				expect(taken.map((each) => [...each])).toEqual(sent.map((each) => [...each]));
				frames.keep();
				expect([frames.bytes, frames.heldBytes]).toEqual([0, 0]);
			}),
			{ seed },
		);
	});

	test("wait for their last byte", () => {
		const bytes = withLength(frameOf(20, 18));
		for (let cut = 0; cut < bytes.length; cut++) {
			const frames = assembler();
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
			const frames = new FrameAssembler(100, new FrameBlocks());
			const length = Buffer.alloc(4);
			length.writeInt32BE(bytes);
			frames.push(length.subarray(0, 3));
			expect(frames.hasFrame()).toBe(false);
			frames.push(length.subarray(3));
			expect(() => frames.hasFrame()).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
		},
	);

	test.each([8, 100])("of %i bytes are taken", (bytes) => {
		const frames = new FrameAssembler(100, new FrameBlocks());
		frames.push(withLength(frameOf(bytes)));
		expect(frames.hasFrame()).toBe(true);
	});

	test("that are forgotten leave nothing behind", () => {
		const frames = assembler();
		frames.push(withLength(frameOf(100)).subarray(0, 50));
		expect(frames.hasFrame()).toBe(false);
		frames.clear();
		expect(frames.bytes).toBe(0);
		frames.push(withLength(frameOf(9)));
		expect(takeAll(frames)).toEqual([frameOf(9)]);
	});

	test("in crumbs cost no object each", () => {
		const frame = frameOf(20_000);
		const frames = assembler();
		for (const byte of withLength(frame)) frames.push(Buffer.from([byte]));
		expect(frames.hasFrame()).toBe(true);
		expect(frames.take().equals(frame)).toBe(true);
		expect(frames.heldBytes).toBeLessThan(2 * frame.length);
	});
});

describe("memory", () => {
	test("of a frame that came in one piece is that piece", () => {
		const frames = assembler();
		const bytes = withLength(frameOf(100));
		frames.push(bytes);
		expect(frames.hasFrame()).toBe(true);
		expect(frames.take().buffer).toBe(bytes.buffer);
	});

	test("is taken for what has come, and not for what was announced", () => {
		const frames = assembler();
		const bytes = withLength(frameOf(FRAME_BYTES_MAX));
		let come = 0;
		for (const piece of [10, 1_000, 50_000, 300_000, 2_000_000]) {
			frames.push(bytes.subarray(come, come + piece));
			expect(frames.hasFrame()).toBe(false);
			frames.keep();
			come += piece;
			expect(frames.bytes).toBe(come);
			expect(frames.heldBytes).toBeLessThanOrEqual(
				come < 65_536 ? Math.max(1_024, 2 * come) : Math.max(BLOCK_BYTES, 2 * come),
			);
		}
		frames.push(bytes.subarray(come));
		expect(frames.hasFrame()).toBe(true);
		expect(frames.take().equals(bytes.subarray(4))).toBe(true);
	});

	test("of large frames in pieces is used again, by other connections too", () => {
		const blocks = new FrameBlocks();
		const memories = new Set<ArrayBufferLike>();
		for (const frames of [assembler(blocks), assembler(blocks), assembler(blocks)]) {
			for (const bytes of [100_000, 1_000_000, BLOCK_BYTES - 4]) {
				const whole = withLength(frameOf(bytes));
				frames.push(whole.subarray(0, 70_000));
				expect(frames.hasFrame()).toBe(false);
				frames.push(whole.subarray(70_000));
				expect(frames.hasFrame()).toBe(true);
				const frame = frames.take();
				expect(frame.equals(whole.subarray(4))).toBe(true);
				memories.add(frame.buffer);
				frames.keep();
			}
			expect(frames.heldBytes).toBe(0);
		}
		expect(memories.size).toBe(1);
	});
});
