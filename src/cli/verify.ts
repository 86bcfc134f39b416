/**
 * `millrace verify`: checks every log of a data directory, in this process while no broker uses it,
 * else by asking the broker.
 */
import { Command } from "commander";

import { readAddresses } from "../addresses.ts";
import type { Client, TopicSummary } from "../client/index.ts";
import { flagName, OPTIONS } from "../config/options.ts";
import { MillraceError } from "../errors.ts";
import { inventoryOf } from "../storage/repair.ts";
import { type VerifyFinding, type VerifyReport, verifyDataDirectory } from "../storage/verify.ts";
import { planCatalogue } from "../topics/lost-catalogue.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "./broker-connection.ts";
import { checkIsDataDirectory, directoryOf } from "./data-directory.ts";
import { DamageFoundError, UsageError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";
import { Progress } from "./progress.ts";
import { formatBytes } from "./sizes.ts";

interface VerifyOptions extends Omit<BrokerOptions, "url"> {
	readonly config?: string;
	readonly dataDir?: string;
	readonly url?: string;
	readonly topic?: string;
	readonly json?: boolean;
}

export function verifyCommand(): Command {
	return addBrokerOptions(new Command("verify"), "checks the data directory")
		.description(
			"check every log of a data directory; while a broker uses it, through that broker. Changes " +
				"nothing, but a broker serves around what is found damaged",
		)
		.option("--config <file>", "the broker's configuration file, for its data.dir")
		.option(`--${flagName(OPTIONS.dataDir)} <dir>`, "the data directory (default: the broker's)")
		.option("--topic <name>", "only this topic")
		.addOption(jsonOption())
		.action(async (options: VerifyOptions) => {
			const { config, dataDir, url, topic, json } = options;
			if (url !== undefined && (config !== undefined || dataDir !== undefined)) {
				throw new UsageError("--url asks a broker, which knows its data directory itself");
			}
			const { report, isOnline } =
				url === undefined
					? await verifyDirectory(await directoryOf(config, dataDir), options)
					: { report: await verifyOnline({ ...options, url }, topic), isOnline: true };
			process.stdout.write(`${json === true ? JSON.stringify(report) : describe(report)}\n`);
			if (report.findings.length > 0) {
				throw new DamageFoundError(
					isOnline
						? "the broker serves around it; `millrace repair` cuts it out once it is stopped"
						: "a broker that starts here serves around damaged records; `millrace repair` cuts " +
								"them out, and makes the rest again",
				);
			}
		});
}

async function verifyDirectory(
	directory: string,
	options: VerifyOptions,
): Promise<{ report: VerifyReport; isOnline: boolean }> {
	await checkIsDataDirectory(directory);
	const { topic } = options;
	try {
		if (process.stderr.isTTY) process.stderr.write(`checking ${directory} ...\n`);
		const catalogue = await verifyCatalogue(directory, topic);
		const report = await verifyDataDirectory(directory, topic);
		return {
			report: { ...report, findings: [...catalogue, ...report.findings] },
			isOnline: false,
		};
	} catch (error) {
		const isInUse = error instanceof MillraceError && error.code === "DATA_DIRECTORY_IN_USE";
		const addresses = isInUse ? await readAddresses(directory) : null;
		if (addresses === null) throw error;
		const { websocket: url } = addresses;
		return { report: await verifyOnline({ ...options, url }, topic), isOnline: true };
	}
}

/** What a repair would have to do about the catalogue of topics and their directories. */
async function verifyCatalogue(
	directory: string,
	topic: string | undefined,
): Promise<VerifyFinding[]> {
	const { isMetadataLost, notes, missing } = planCatalogue(await inventoryOf(directory), []);
	const ofMetadata = isMetadataLost
		? [{ subject: "metadata.redb", detail: "a broker does not start with it" }]
		: [];
	const ofPartitions = missing
		.filter(({ topic: name }) => topic === undefined || name === topic)
		.map(({ topic: name, topicId, partition }) => ({
			subject: `${name}-${partition}`,
			detail: `its directory logs/${topicId}/${partition} is missing: a broker does not start`,
		}));
	return [...ofMetadata, ...notes, ...ofPartitions];
}

/** Has a broker check its partitions, one after the other. */
function verifyOnline(options: BrokerOptions, topic?: string): Promise<VerifyReport> {
	return withClient(options, ({ topics }) => verifyTopics(topics, topic));
}

/** The same through these calls. Rejects with what the broker answers. */
export async function verifyTopics(
	calls: Pick<Client["topics"], "describe" | "list" | "verify">,
	topic: string | undefined,
): Promise<VerifyReport> {
	const progress = new Progress("checked");
	const findings: VerifyFinding[] = [];
	let logCount = 0;
	const onStep = ({ records, bytes }: { records: number; bytes: number }) => {
		progress.records += records;
		progress.bytes += bytes;
	};
	const verifyTopic = async ({ name, partitions }: Pick<TopicSummary, "name" | "partitions">) => {
		for (let partition = 0; partition < partitions; partition++) {
			const verified = await calls.verify(name, partition, { onStep });
			logCount++;
			const subject = `${name}-${partition}`;
			findings.push(...verified.findings.map((detail) => ({ subject, detail })));
		}
	};
	try {
		if (topic !== undefined) await verifyTopic(await calls.describe(topic));
		else {
			for (const listed of await calls.list({ internal: true })) {
				await verifyTopic(listed).catch((error: unknown) => {
					// Deleted since it was listed: the others are to be checked all the same.
					if (!isUnknownTopic(error)) throw error;
				});
			}
		}
	} finally {
		progress.end();
	}
	return { logCount, recordCount: progress.records, bytes: progress.bytes, findings };
}

function isUnknownTopic(error: unknown): boolean {
	return error instanceof MillraceError && error.code === "UNKNOWN_TOPIC_OR_PARTITION";
}

function describe(report: VerifyReport): string {
	const { logCount, recordCount, bytes, findings, tails = [], journaled = [] } = report;
	const places = findings.length === 1 ? "1 place is" : `${findings.length} places are`;
	const verdict = findings.length === 0 ? "no damage" : `${places} damaged`;
	const lines = [
		...findings.map(({ subject, detail }) => `${subject}: ${detail}`),
		...tails.map(({ subject, detail }) => `${subject}: ${detail} (the next start erases them)`),
		...journaled.map(
			({ subject, detail }) => `${subject}: ${detail} (the next start brings them to its segments)`,
		),
	];
	return [
		`${logCount} logs, ${recordCount} records, ${formatBytes(bytes)}: ${verdict}`,
		...lines,
	].join("\n");
}
