/**
 * The `millrace` command: its sub-commands, one file each, put together, and failures turned into
 * exit codes.
 */
import { Command, CommanderError } from "commander";

import { VERSION } from "../version.ts";
import { benchCommand } from "./bench.ts";
import { consumeCommand } from "./consume.ts";
import { doctorCommand } from "./doctor.ts";
import { describeFailure, EXIT, exitCodeOf, LoggedError } from "./exit-code.ts";
import { groupCommand } from "./group.ts";
import { produceCommand } from "./produce.ts";
import { startCommand } from "./start.ts";
import { topicCommand } from "./topic.ts";
import { verifyCommand } from "./verify.ts";

function millrace(): Command {
	const program = new Command("millrace")
		.description("A log broker: WebSocket and MessagePack in front, a native storage core behind.")
		.version(VERSION);
	for (const make of [
		startCommand,
		topicCommand,
		produceCommand,
		consumeCommand,
		groupCommand,
		benchCommand,
		verifyCommand,
		doctorCommand,
	]) {
		program.addCommand(make());
	}
	program.addHelpText(
		"after",
		"\nExit codes: 0 done, 1 failed, 2 usage, 3 cannot reach or not authorised, 4 data damaged, " +
			"5 data directory in use or newer.",
	);
	exitThroughErrors(program);
	return program;
}

/**
 * Makes every command throw instead of ending the process, so that one place decides the exit code.
 */
function exitThroughErrors(command: Command): void {
	command.exitOverride().showHelpAfterError("(--help shows what there is)");
	for (const child of command.commands) exitThroughErrors(child);
}

/** Runs one command line, without the program's name, and returns the exit code. */
export async function run(commandLine: readonly string[]): Promise<number> {
	try {
		await millrace().parseAsync(commandLine, { from: "user" });
		return EXIT.done;
	} catch (thrown) {
		if (!isTold(thrown)) process.stderr.write(`millrace: ${describeFailure(thrown)}\n`);
		return exitCodeOf(thrown);
	}
}

/** Whether people know already: commander says itself what is wrong with a command line. */
function isTold(thrown: unknown): boolean {
	return thrown instanceof CommanderError || thrown instanceof LoggedError;
}
