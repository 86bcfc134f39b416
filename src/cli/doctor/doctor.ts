/**
 * `millrace doctor`: whether this machine can run a broker well, check by check, each with the next
 * step.
 */
import { Command } from "commander";

import { loadConfig } from "../../config/load.ts";
import type { BrokerConfig } from "../../config/options.ts";
import { addConfigOptions, configFlags } from "../config-options.ts";
import { jsonOption } from "../options.ts";
import { formatTable } from "../table.ts";
import type { Check } from "./check.ts";
import { checkClock, checkMemory } from "./data.ts";
import {
	checkAddon,
	checkMapCount,
	checkNode,
	checkOpenFiles,
	checkOvercommit,
	checkPort,
	checkTransport,
} from "./machine.ts";
import { checkExposure } from "./security.ts";
import { checkStorage } from "./storage.ts";
import { checkTls } from "./tls.ts";

export function doctorCommand(): Command {
	const command = new Command("doctor")
		.description("check whether this machine can run a broker well")
		.addOption(jsonOption());
	addConfigOptions(command);
	return command.action(async (options: { json?: boolean }) => {
		const { config } = await loadConfig({ flags: configFlags(command), environment: process.env });
		const checks = await runChecks(config);
		if (options.json === true) process.stdout.write(`${JSON.stringify({ checks })}\n`);
		else process.stdout.write(`${describeChecks(checks)}\n`);
		const failed = checks.filter(({ status }) => status === "fail");
		if (failed.length > 0) {
			throw new Error(`a broker cannot run here: ${failed.map(({ name }) => name).join(", ")}`);
		}
	});
}

async function runChecks(config: BrokerConfig): Promise<Check[]> {
	return [
		checkNode(),
		checkAddon(),
		await checkTransport(config.websocketTransport),
		...(await checkStorage(config.dataDir)),
		checkClock(config.dataDir, Date.now()),
		await checkMemory(config.dataDir),
		await checkOpenFiles(),
		await checkMapCount(),
		await checkOvercommit(),
		...(await checkTls(config, Date.now())),
		checkExposure(config),
		await checkPort("websocket port", "--websocket", config.websocket),
		await checkPort("kafka port", "--kafka", config.kafka),
	];
}

/** The report for people. */
export function describeChecks(checks: readonly Check[]): string {
	const rows = checks.map(({ status, name, found }) => [status, name, found]);
	const lines = formatTable(["", "check", "found"], rows).split("\n");
	return checks.reduce((text, { next }, index) => {
		const step = next === undefined ? "" : `\n      -> ${next}`;
		return `${text}\n${lines[index + 1]}${step}`;
	}, lines[0] ?? "");
}
