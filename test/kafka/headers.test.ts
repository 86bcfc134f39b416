import { expect, test } from "vitest";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import { hasFlexibleResponseHeader, openRequest } from "../../src/kafka/headers.ts";
import { KafkaFrameError } from "../../src/kafka/wire/frame-error.ts";
import { encodeRequest, encodeRequestHeader } from "./client-codec.ts";

const open = (frame: Buffer) => openRequest(frame, SERVED_APIS);

test("a request's header ends where the body begins, flexible or not", () => {
	const options = { correlationId: -5, clientId: "clïent" };
	for (const version of [11, 12]) {
		const frame = encodeRequestHeader("Fetch", version, options);
		const { api, header, reader } = open(Buffer.concat([frame, Buffer.from([1, 2, 3])]));
		expect(header).toEqual({ apiKey: 1, apiVersion: version, ...options });
		expect([api.facts.name, reader.position]).toEqual(["Fetch", frame.length]);
	}
	expect(open(encodeRequest("Metadata", 0, {}, { clientId: null })).header.clientId).toBe("");
});

test("tagged fields of a header are passed over", () => {
	const frame = Buffer.from("0012 0003 00000001 ffff 01 07 02 aabb 42".replaceAll(" ", ""), "hex");
	const { header, reader } = open(frame);
	expect([header.apiVersion, reader.position, reader.remaining]).toEqual([3, 15, 1]);
});

test("versions that are not served end the connection, but those of ApiVersions", () => {
	for (const version of [-1, 5, 99]) {
		expect(open(encodeRequestHeader("ApiVersions", version)).isVersionUnknown).toBe(true);
		expect(() => open(encodeRequestHeader("Fetch", version - 2))).toThrow(KafkaFrameError);
	}
	expect(open(encodeRequestHeader("ApiVersions", 4)).isVersionUnknown).toBe(false);
});

test("an API that is not served, or half a header, is a frame error", () => {
	expect(() => open(Buffer.from("7fff0001000000010000", "hex"))).toThrow("which nobody knows");
	expect(() => open(encodeRequestHeader("WriteTxnMarkers", 1))).toThrow("27, WriteTxnMarkers,");
	for (const hex of ["0003", "", "000300010000", "0003000100000001", "00030001000000010005aa"]) {
		expect(() => open(Buffer.from(hex, "hex"))).toThrow(KafkaFrameError);
	}
});

test("responses have a flexible header when their version is flexible, but ApiVersions", () => {
	const flexible = (name: string, version: number) =>
		hasFlexibleResponseHeader(open(encodeRequestHeader(name, version)).api, version);
	expect([flexible("Fetch", 11), flexible("Fetch", 12)]).toEqual([false, true]);
	expect([flexible("ApiVersions", 2), flexible("ApiVersions", 3)]).toEqual([false, false]);
});
