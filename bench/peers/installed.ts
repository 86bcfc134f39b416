/** What bench/peers/install.sh has installed, and where. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { PeerName } from "./results.ts";

/** The same whether this file runs as it is or compiled. */
const root = fileURLToPath(new URL("..", import.meta.resolve("#dist/version.js")));

const installed = (path: string): string => join(root, "bench/peers/.installed", path);

export const KAFKA_LOAD = installed("kafka-load");
export const NATS_SERVER = installed("nats-server");
export const REDIS_SERVER = "redis-server";

/** What Kafka's own scripts start its broker and its tools with. */
const KAFKA_JVM = [
	...["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:MaxInlineLevel=15"],
	...["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"],
	...["-Djava.awt.headless=true", "-Dorg.apache.logging.log4j.level=OFF"],
];

/** A command line up to the class and its arguments. */
export function kafkaJava(heapBytesMax: string): string[] {
	const heap = [`-Xms${heapBytesMax}`, `-Xmx${heapBytesMax}`];
	return ["java", ...heap, ...KAFKA_JVM, "-cp", installed("kafka/lib/*")];
}

/** As its jars are named. */
export function kafkaVersion(): string {
	const pattern = /^kafka-clients-(.*)\.jar$/;
	const versions = readdirSync(installed("kafka/lib")).flatMap((name) => {
		const match = pattern.exec(name);
		return match === null ? [] : [match[1] as string];
	});
	return versions.join(", ");
}

/** What KAFKA_LOAD was linked with. */
export function librdkafkaVersion(): string {
	return spawnSync(KAFKA_LOAD, ["version"], { encoding: "utf8" }).stdout.trim();
}

/** As a server says it with --version. */
export function serverVersion(command: string): string {
	const { stdout } = spawnSync(command, ["--version"], { encoding: "utf8" });
	return /\bv[=]?(\d[\w.-]*)/.exec(stdout)?.[1] ?? stdout.trim();
}

/** Why a peer cannot be measured here; null where it can. */
export function missingPeer(peer: PeerName): string | null {
	const needed: Record<PeerName, readonly boolean[]> = {
		kafka: [isLoadFresh(), existsSync(installed("kafka/lib/.complete")), runs("java")],
		nats: [existsSync(NATS_SERVER), hasPackage("@nats-io/jetstream")],
		redis: [runs(REDIS_SERVER), hasPackage("redis")],
	};
	if (needed[peer].every(Boolean)) return null;
	return `${peer} is not installed as it is needed (bench/peers/install.sh ${peer} does that)`;
}

/** Whether KAFKA_LOAD was built from the source that is there: others take other arguments. */
function isLoadFresh(): boolean {
	const builtFrom = installed("kafka-load.sha256");
	if (!existsSync(KAFKA_LOAD) || !existsSync(builtFrom)) return false;
	const source = readFileSync(join(root, "bench/peers/load/kafka-load.c"));
	const hash = createHash("sha256").update(source).digest("hex");
	return readFileSync(builtFrom, "utf8").trim() === hash;
}

/**
 * An npm package of bench/peers/clients/package.json. They are no packages of the project, so the
 * caller tells by a type of its own what it uses of them.
 */
export function peerPackage<Package>(name: string): Package {
	return createRequire(installed("package.json"))(name) as Package;
}

export function peerPackageVersion(name: string): string {
	const manifest = readFileSync(installed(`node_modules/${name}/package.json`), "utf8");
	return (JSON.parse(manifest) as { version: string }).version;
}

function hasPackage(name: string): boolean {
	return existsSync(installed(`node_modules/${name}/package.json`));
}

function runs(command: string): boolean {
	return spawnSync(command, ["--version"]).status === 0;
}
