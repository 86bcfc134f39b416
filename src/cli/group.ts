import { Command } from "commander";

import { MillraceError } from "../errors.ts";

/** `millrace group ...`: answers what this version cannot do yet. */
export function groupCommand(): Command {
	const group = new Command("group").description("consumer groups (not in this version)");
	for (const name of ["list", "describe", "reset-offsets", "delete"]) {
		group
			.command(name)
			.argument("[arguments...]")
			.allowUnknownOption()
			.action(() => {
				throw noGroups();
			});
	}
	return group;
}

/** What is answered wherever a group is asked for. */
export function noGroups(): MillraceError {
	return new MillraceError(
		"UNSUPPORTED_OPERATION",
		"this version has no consumer groups; " +
			"consume from where you want with --from-beginning, --offset or --from-time",
	);
}
