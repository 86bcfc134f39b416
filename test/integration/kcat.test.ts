/** kcat as people use it, and one log seen by kcat and by the `millrace` command. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { runCommand } from "../broker-process.ts";
import { KCAT_SECONDS_MAX, kcatBinary, MISSING_KCAT } from "../optional-parts.ts";
import { CODECS, runTool, runToolBytes } from "./client-programs.ts";
import { createTopic, ONLY_MILLRACE, serveKafka, uniqueName } from "./kafka-target.ts";

const at = serveKafka();

/** A command line of kcat for the broker. */
function kcat(context: { skip(reason: string): never }, ...parameters: string[]): string[] {
	const binary = kcatBinary() ?? context.skip(MISSING_KCAT);
	return [binary, "-q", "-m", KCAT_SECONDS_MAX, "-b", at().bootstrap, ...parameters];
}

/** Real text with long, short and empty lines: the list of a Debian machine's packages. */
function realText(): Buffer {
	const packages = "/var/lib/dpkg/status";
	const lock = fileURLToPath(new URL("../../package-lock.json", import.meta.url));
	return readFileSync(existsSync(packages) ? packages : lock);
}

/** kcat leaves empty lines out when it produces. */
const withoutEmptyLines = (text: Buffer): Buffer =>
	Buffer.from(text.toString("latin1").replaceAll(/\n\n+/g, "\n"), "latin1");

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("kcat", () => {
	test("lists brokers, topics and partitions", async (context) => {
		const topic = await createTopic(at(), 3);
		const listed = JSON.parse(await runTool(kcat(context, "-L", "-J", "-t", topic)));
		expect(listed.brokers.map(({ name }: { name: string }) => name)).toEqual([at().bootstrap]);
		expect(listed.topics).toMatchObject([{ topic, partitions: { length: 3 } }]);
		expect(listed.topics[0].partitions[0].leader).toBe(listed.brokers[0].id);
	});

	test("does what the README shows", async (context) => {
		kcatBinary() ?? context.skip(MISSING_KCAT);
		const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
		const blocks = readme.matchAll(/```sh\n(.*?)```/gs);
		const shown = [...blocks].map(([, block]) => block).find((block) => block?.includes("kcat"));
		const topic = uniqueName("lines");
		const commands = shown
			?.replaceAll("127.0.0.1:9092", at().bootstrap)
			.replaceAll(" lines", ` ${topic}`);
		expect(await runTool(["sh", "-ec", commands ?? ""])).toBe("four\n");
	});

	test.for(CODECS)(
		"reads from a topic of codec %s what it wrote with any",
		async (own, context) => {
			const type = own === "none" ? "uncompressed" : own;
			const topic = await createTopic(at(), 1, { "compression.type": type });
			const text = withoutEmptyLines(realText());
			for (const codec of CODECS) {
				const produced = ["-P", "-t", topic, "-p", "0", "-X", `compression.codec=${codec}`];
				await runTool(kcat(context, ...produced), text);
			}
			const consumed = await runToolBytes(kcat(context, "-C", "-e", "-t", topic, "-p", "0"));
			expect(sha256(consumed)).toBe(sha256(Buffer.concat(CODECS.map(() => text))));
		},
	);

	test.for(CODECS)("carries a real text with codec %s unchanged", async (codec, context) => {
		const topic = await createTopic(at(), 1);
		const text = withoutEmptyLines(realText());
		const produced = ["-P", "-t", topic, "-p", "0", "-X", `compression.codec=${codec}`];
		await runTool(kcat(context, ...produced), text);
		const consumed = await runToolBytes(kcat(context, "-C", "-e", "-t", topic, "-p", "0"));
		expect(sha256(consumed)).toBe(sha256(text));
	});

	test("carries keys, headers and nulls", async (context) => {
		const topic = await createTopic(at(), 1);
		const produce = ["-P", "-t", topic, "-p", "0", "-K", ":", "-H", "a=1", "-H", "b=zwei", "-Z"];
		await runTool(kcat(context, ...produce), "key:value\ngone:\n:no key\n");
		const consumed = await runTool(kcat(context, "-C", "-e", "-J", "-t", topic, "-p", "0"));
		const records = consumed
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line));
		const headers = ["a", "1", "b", "zwei"];
		expect(records).toMatchObject([
			{ topic, partition: 0, offset: 0, tstype: "create", headers, key: "key", payload: "value" },
			{ offset: 1, headers, key: "gone", payload: null },
			{ offset: 2, headers, key: null, payload: "no key" },
		]);
		for (const { ts } of records) expect(Math.abs(Date.now() - ts)).toBeLessThan(60_000);
	});

	test("starts at an offset, near the end or at a time, and finds a time", async (context) => {
		const topic = await createTopic(at(), 1);
		const place = ["-t", topic, "-p", "0"];
		const produce = (text: string) => runTool(kcat(context, "-P", ...place), text);
		await produce("0\n1\n2\n3\n4\n");
		const middleMs = Date.now() + 1;
		while (Date.now() <= middleMs) await new Promise((resolve) => setTimeout(resolve, 1));
		await produce("5\n6\n7\n");
		const read = (start: string) => runTool(kcat(context, "-C", "-e", "-o", start, ...place));
		expect(await read("beginning")).toBe("0\n1\n2\n3\n4\n5\n6\n7\n");
		expect(await read("6")).toBe("6\n7\n");
		expect(await read("-3")).toBe("5\n6\n7\n");
		expect(await read(`s@${middleMs}`)).toBe("5\n6\n7\n");
		const found = await runTool(kcat(context, "-Q", "-t", `${topic}:0:${middleMs}`));
		expect(found.trim()).toBe(`${topic} [0] offset 5`);
	});

	test("consumes as a group and goes on where it was", async (context) => {
		const topic = await createTopic(at(), 2);
		const group = uniqueName("group");
		const consume = () => {
			const member = ["-G", group, "-e", "-X", "auto.offset.reset=earliest", topic];
			return runTool(kcat(context, ...member));
		};
		const produce = (partition: string, text: string) =>
			runTool(kcat(context, "-P", "-t", topic, "-p", partition), text);
		await produce("0", "a\nb\n");
		await produce("1", "c\n");
		expect((await consume()).trim().split("\n").sort()).toEqual(["a", "b", "c"]);
		await produce("1", "d\n");
		expect(await consume()).toBe("d\n");
	});
});

describe("one log, seen by kcat and by the command", () => {
	test("what the command writes over WebSocket, kcat reads", async (context) => {
		const url = at().url ?? context.skip(ONLY_MILLRACE);
		const topic = await createTopic(at(), 1);
		const text = realText();
		const written = await runCommand(["produce", topic, "--url", url], { input: text });
		expect(written.code, written.stderr).toBe(0);
		const consumed = await runToolBytes(kcat(context, "-C", "-e", "-t", topic, "-p", "0"));
		expect(sha256(consumed)).toBe(sha256(text));
	});

	test.for(CODECS)("what kcat writes with codec %s, the command reads", async (codec, context) => {
		const url = at().url ?? context.skip(ONLY_MILLRACE);
		const topic = await createTopic(at(), 1);
		const text = withoutEmptyLines(realText());
		const produce = ["-P", "-t", topic, "-p", "0", "-X", `compression.codec=${codec}`];
		await runTool(kcat(context, ...produce), text);
		const read = ["consume", topic, "--from-beginning", "--exit-at-end", "--url", url];
		const { stdout, code, stderr } = await runCommand(read);
		expect(code, stderr).toBe(0);
		expect(sha256(stdout)).toBe(sha256(text));
	});
});
