/**
 * The `millrace` command: its sub-commands, one file each, put together, and failures turned into
 * exit codes.
 */
import { Command, CommanderError } from "commander";

import { VERSION } from "../version.ts";
import { describeFailure, EXIT, exitCodeOf, LoggedError } from "./exit-code.ts";

/**
 * In the order in which the help shows them. Each is loaded when it is asked for: that is half of
 * what a short command costs.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
	start: async () => (await import("./start.ts")).startCommand(),
	config: async () => (await import("./config.ts")).configCommand(),
	topic: async () => (await import("./topic.ts")).topicCommand(),
	produce: async () => (await import("./records/produce.ts")).produceCommand(),
	consume: async () => (await import("./records/consume.ts")).consumeCommand(),
	group: async () => (await import("./group.ts")).groupCommand(),
	client: async () => (await import("./client.ts")).clientCommand(),
	acl: async () => (await import("./acl.ts")).aclCommand(),
	quota: async () => (await import("./quota.ts")).quotaCommand(),
	user: async () => (await import("./user.ts")).userCommand(),
	bench: async () => (await import("./bench.ts")).benchCommand(),
	disk: async () => (await import("./disk.ts")).diskCommand(),
	backup: async () => (await import("./backup.ts")).backupCommand(),
	downgrade: async () => (await import("./downgrade.ts")).downgradeCommand(),
	verify: async () => (await import("./verify.ts")).verifyCommand(),
	repair: async () => (await import("./repair.ts")).repairCommand(),
	doctor: async () => (await import("./doctor/doctor.ts")).doctorCommand(),
};

/** The program with the sub-command of that name, or with all where there is none. */
async function millrace(name: string | undefined): Promise<Command> {
	const program = new Command("millrace")
		.description("A log broker: WebSocket and MessagePack in front, a native storage core behind.")
		.version(VERSION);
	const known = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
	for (const load of known === undefined ? Object.values(COMMANDS) : [known]) {
		program.addCommand(await load());
	}
	program.addHelpText(
		"after",
		"\nExit codes: 0 done, 1 failed, 2 usage, 3 cannot reach or not authorised, 4 data damaged, " +
			"5 data directory in use or newer, 10 bench regression, 11 bench inconclusive.",
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
		await (await millrace(commandLine[0])).parseAsync(commandLine, { from: "user" });
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
