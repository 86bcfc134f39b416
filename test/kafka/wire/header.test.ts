import { expect, test } from "vitest";
import { KafkaFrameError } from "../../../src/kafka/wire/frame-error.ts";
import {
	hasFlexibleResponseHeader,
	hasVersion,
	readRequestHeader,
} from "../../../src/kafka/wire/header.ts";
import { KafkaReader } from "../../../src/kafka/wire/reader.ts";
import { encodeRequest, encodeRequestHeader } from "../client-codec.ts";

const headerOf = (frame: Buffer) => {
	const reader = new KafkaReader(frame);
	const { api, ...header } = readRequestHeader(reader);
	return { ...header, name: api.name, position: reader.position };
};

test("a request's header ends where the body begins, flexible or not", () => {
	const options = { correlationId: -5, clientId: "clïent" };
	for (const version of [11, 12]) {
		const header = encodeRequestHeader("Fetch", version, options);
		expect(headerOf(Buffer.concat([header, Buffer.from([1, 2, 3])]))).toEqual({
			name: "Fetch",
			version,
			...options,
			position: header.length,
		});
	}
	expect(headerOf(encodeRequest("Metadata", 0, {}, { clientId: null })).clientId).toBeNull();
});

test("tagged fields of a header are passed over", () => {
	const frame = Buffer.from("0012 0003 00000001 ffff 01 07 02 aabb 42".replaceAll(" ", ""), "hex");
	expect(headerOf(frame)).toMatchObject({ name: "ApiVersions", version: 3, position: 15 });
});

test("a version that the API does not have is for the caller to see", () => {
	const reader = new KafkaReader(encodeRequestHeader("ApiVersions", 99));
	const { api, version } = readRequestHeader(reader);
	expect(hasVersion(api, version)).toBe(false);
	expect(reader.remaining).toBe(0);
	expect([-1, 0, 4, 5].map((candidate) => hasVersion(api, candidate))).toEqual([
		false,
		true,
		true,
		false,
	]);
});

test("an API that nobody knows, or half a header, is a frame error", () => {
	for (const hex of ["7fff00010000000100ff", "0004000200000001ffff", "0003", "", "000300010000"]) {
		expect(() => headerOf(Buffer.from(hex, "hex"))).toThrow(KafkaFrameError);
	}
});

test("responses have a flexible header when their version is flexible, but ApiVersions", () => {
	const flexible = (name: string, version: number) =>
		hasFlexibleResponseHeader(
			readRequestHeader(new KafkaReader(encodeRequestHeader(name, version))).api,
			version,
		);
	expect([flexible("Fetch", 11), flexible("Fetch", 12)]).toEqual([false, true]);
	expect([flexible("ApiVersions", 2), flexible("ApiVersions", 3)]).toEqual([false, false]);
	expect(flexible("SaslHandshake", 1)).toBe(false);
});
