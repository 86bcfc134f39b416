/**
 * `millrace user set|list|remove`: users in a data directory that no broker has open. The first one
 * is made so, since a broker that asks who one is lets nobody in to make it; of a running broker
 * the SDK, the HTTP API and Kafka's tools make users.
 */
import { Argument, Command } from "commander";

import { flagName, OPTIONS } from "../config/options.ts";
import { LIMITS } from "../limits.ts";
import { EmbeddedMetadataStore } from "../metadata/embedded-store.ts";
import { MetadataWriter } from "../metadata/metadata-writer.ts";
import { isUserName, Users } from "../security/users.ts";
import { Storage } from "../storage/storage.ts";
import { checkMayWrite, directoryOf } from "./data-directory.ts";
import { UsageError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";
import { readSecret } from "./secret-file.ts";

interface DirectoryOptions {
	readonly config?: string;
	readonly dataDir?: string;
}

const nameArgument = () => new Argument("<name>", "the user");

export function userCommand(): Command {
	const user = new Command("user").description("users in a data directory that no broker has open");
	for (const make of [setCommand, listCommand, removeCommand]) {
		user.addCommand(
			make()
				.option("--config <file>", "the broker's configuration file, for its data.dir")
				.option(
					`--${flagName(OPTIONS.dataDir)} <dir>`,
					"the data directory (default: the broker's)",
				),
		);
	}
	return user;
}

function setCommand(): Command {
	return new Command("set")
		.description("make a user, or give one another password")
		.addArgument(nameArgument())
		.requiredOption("--password-file <file>", "holds the password; - is stdin")
		.action(async (name: string, options: DirectoryOptions & { passwordFile: string }) => {
			if (!isUserName(name)) {
				throw new UsageError(`a user's name has 1 to ${LIMITS.userNameBytesMax} bytes`);
			}
			const password = await readSecret("--password-file", options.passwordFile);
			await withUsers(options, (users) => users.setPassword(name, password));
		});
}

function listCommand(): Command {
	return new Command("list")
		.description("list the users")
		.addOption(jsonOption())
		.action((options: DirectoryOptions & { json?: boolean }) =>
			withUsers(options, async (users) => {
				const names = users.list();
				const text = options.json === true ? JSON.stringify({ users: names }) : names.join("\n");
				if (text !== "") process.stdout.write(`${text}\n`);
			}),
		);
}

function removeCommand(): Command {
	return new Command("remove")
		.description("remove a user")
		.addArgument(nameArgument())
		.action((name: string, options: DirectoryOptions) =>
			withUsers(options, async (users) => {
				if (!(await users.remove(name))) throw new UsageError(`there is no user ${name}`);
			}),
		);
}

async function withUsers(
	{ config, dataDir: given }: DirectoryOptions,
	work: (users: Users) => Promise<void>,
): Promise<void> {
	const dataDir = await directoryOf(config, given);
	await checkMayWrite(dataDir);
	const storage = await Storage.open({ dataDir, owner: true });
	try {
		await work(Users.open(await MetadataWriter.open(new EmbeddedMetadataStore(storage))));
	} finally {
		await storage.close();
	}
}
