/** The broker's options as flags of a command. */
import { type Command, Option as Flag } from "commander";

import {
	environmentName,
	flagName,
	OPTIONS,
	type Option,
	TOPIC_DEFAULT_OPTIONS,
} from "../config/options.ts";

/** Adds `--config FILE` and one flag for every option of the broker. */
export function addConfigOptions(command: Command): void {
	command.option("--config <file>", "YAML, name: value lines; also MILLRACE_CONFIG");
	for (const option of Object.values(OPTIONS)) command.addOption(flagOf(option));
	for (const option of TOPIC_DEFAULT_OPTIONS) {
		command.addOption(flagOf(option).helpGroup("Defaults of topics:"));
	}
}

function flagOf(option: Option<unknown>): Flag {
	const known = option.default === "" ? "" : ` (default: ${option.default})`;
	const doc = `${option.doc} ${environmentName(option)}${known}`;
	return new Flag(`--${flagName(option)} <${option.placeholder}>`, doc);
}

/** The flags that were given, by their names, for `loadConfig`. */
export function configFlags(command: Command): Record<string, string | undefined> {
	const given: Record<string, string | undefined> = {};
	for (const option of command.options) {
		const name = option.long?.slice(2) ?? "";
		const value: unknown = command.getOptionValue(option.attributeName());
		if (typeof value === "string") given[name] = value;
	}
	return given;
}
