/** `millrace config check|list`: what a broker that is started here would be configured with. */
import { Command } from "commander";

import { ConfigError } from "../config/errors.ts";
import { configFileOf, describeConfig, type LoadedConfig, loadConfig } from "../config/load.ts";
import { checkOptionNames } from "../config/option-names.ts";
import type { BrokerConfig } from "../config/options.ts";
import { isTlsUsed, OptionFileError } from "../security/options.ts";
import { addConfigOptions, configFlags } from "./config-options.ts";
import { LoggedError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";
import { print } from "./print.ts";
import { formatTable } from "./table.ts";

export function configCommand(): Command {
	return new Command("config")
		.description("check and list the options that a broker would be started with here")
		.addCommand(checkCommand())
		.addCommand(listCommand());
}

function checkCommand(): Command {
	const command = new Command("check")
		.description("say whether a broker would start with this configuration; 2 if not")
		.addOption(jsonOption());
	addConfigOptions(command);
	return command.action(async ({ json }: { json?: boolean }) => {
		const file = configFileOf(sourcesOf(command)) ?? null;
		try {
			const { config, unknownEnvironment } = await loadConfig(sourcesOf(command));
			await checkFiles(config);
			if (json === true) return printJson({ valid: true, file, problems: [], unknownEnvironment });
			for (const name of unknownEnvironment) print(`no option has this variable: ${name}`);
			print(`${file ?? "the configuration"} is valid`);
		} catch (error) {
			const problems = problemsOf(error);
			if (json !== true || problems === undefined) throw error;
			printJson({ valid: false, file, problems });
			throw new LoggedError("see the answer", { cause: error });
		}
	});
}

/** Reads the files that options name as a start does. Rejects with OptionFileError. */
async function checkFiles(config: BrokerConfig): Promise<void> {
	if (!isTlsUsed(config)) return;
	const { checkTlsFiles } = await import("../security/tls.ts");
	await checkTlsFiles(config);
}

/** What is wrong with a configuration; undefined: something else went wrong. */
function problemsOf(error: unknown): readonly string[] | undefined {
	if (error instanceof ConfigError) return error.problems;
	return error instanceof OptionFileError ? [error.message] : undefined;
}

function listCommand(): Command {
	const command = new Command("list")
		.description("list options with the values in force, and where each comes from")
		.argument("[names...]", "only these options")
		.addOption(jsonOption());
	addConfigOptions(command);
	return command.action(async (names: readonly string[], { json }: { json?: boolean }) => {
		checkOptionNames(names);
		const options = listed(await loadConfig(sourcesOf(command)), names);
		if (json === true) return printJson({ options });
		const rows = options.map(({ name, value, source, dynamic }) => [
			name,
			value,
			source,
			dynamic ? "running" : "restart",
		]);
		print(formatTable(["option", "value", "from", "changes"], rows));
	});
}

function listed(loaded: LoadedConfig, names: readonly string[]) {
	const options = describeConfig(loaded).map(({ option, value, source }) => ({
		name: option.name,
		value,
		source,
		dynamic: option.dynamic === true,
	}));
	return names.length === 0 ? options : options.filter(({ name }) => names.includes(name));
}

const sourcesOf = (command: Command) => ({
	flags: configFlags(command),
	environment: process.env,
});

const printJson = (answer: object): void => print(JSON.stringify(answer));
