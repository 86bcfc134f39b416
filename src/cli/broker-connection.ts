/**
 * The broker that client commands talk to, and who they are there. Passwords and tokens come from
 * files or the environment alone: everybody on a machine sees its command lines.
 */
import { stat } from "node:fs/promises";
import { type Command, Option } from "commander";

import { type Client, type ConnectOptions, connect, MillraceError } from "../client/index.ts";
import { UnreachableError, UsageError } from "./exit-code.ts";
import { optionalUrlOption, urlOption } from "./options.ts";
import { readSecret, readText } from "./secret-file.ts";

/** The options of a client command that say where and who. */
export interface BrokerOptions {
	readonly url: string;
	readonly user?: string;
	readonly passwordFile?: string;
	readonly tokenFile?: string;
	readonly tlsCa?: string;
	readonly tlsCert?: string;
	readonly tlsKey?: string;
}

/** Gives a command the options; `instead`: what it does without a broker. */
export function addBrokerOptions(command: Command, instead?: string): Command {
	const url = instead === undefined ? urlOption() : optionalUrlOption(instead);
	return command
		.addOption(url)
		.addOption(new Option("--user <name>", "who one is").env("MILLRACE_USER"))
		.addOption(
			new Option(
				"--password-file <file>",
				"holds the user's password, which is else taken from MILLRACE_PASSWORD",
			).env("MILLRACE_PASSWORD_FILE"),
		)
		.addOption(
			new Option(
				"--token-file <file>",
				"holds a token instead, which is else taken from MILLRACE_TOKEN",
			)
				.env("MILLRACE_TOKEN_FILE")
				.conflicts(["user", "passwordFile"]),
		)
		.addOption(fileOption("ca", "PEM: the authorities that the broker's certificate may come from"))
		.addOption(fileOption("cert", "PEM: one's own certificate, for wss:"))
		.addOption(fileOption("key", "PEM: its private key"));
}

const fileOption = (what: "ca" | "cert" | "key", text: string) =>
	new Option(`--tls-${what} <file>`, text).env(`MILLRACE_TLS_${what.toUpperCase()}`);

/**
 * Connects to the broker as whom the options and the environment say, runs `work`, and closes the
 * client whatever comes. Rejects with UnreachableError when the broker cannot be reached.
 */
export async function withClient<Result>(
	options: BrokerOptions,
	work: (client: Client) => Promise<Result>,
): Promise<Result> {
	const { url } = options;
	const client = await connect(url, {
		...(await identity(options)),
		...(await certificates(options)),
	}).catch((error: unknown) => {
		if (!(error instanceof MillraceError) || error.code !== "CONNECTION_LOST") throw error;
		throw new UnreachableError(url, error);
	});
	try {
		return await work(client);
	} finally {
		await client.close();
	}
}

/** Who the command is at the broker. Rejects with UsageError for files that cannot be read. */
async function identity(options: BrokerOptions): Promise<Pick<ConnectOptions, "auth">> {
	const { user, passwordFile, tokenFile } = options;
	if (user !== undefined) {
		const password =
			passwordFile === undefined
				? process.env.MILLRACE_PASSWORD
				: await readSecret("--password-file", passwordFile);
		if (password === undefined) {
			throw new UsageError("--user: the password comes by --password-file or MILLRACE_PASSWORD");
		}
		return { auth: { user, password } };
	}
	if (passwordFile !== undefined) throw new UsageError("--password-file: whose? see --user");
	if (tokenFile !== undefined) {
		const token = await readSecret("--token-file", tokenFile);
		// A pipe has it once.
		if (tokenFile === "-" || !(await stat(tokenFile)).isFile()) return { auth: { token } };
		// Each time anew: who renews tokens puts them there.
		return { auth: async () => ({ token: await readSecret("--token-file", tokenFile) }) };
	}
	const { MILLRACE_TOKEN: token = "" } = process.env;
	return token === "" ? {} : { auth: { token } };
}

/** Rejects with UsageError for files that cannot be read. */
async function certificates(options: BrokerOptions): Promise<Pick<ConnectOptions, "tls">> {
	const { tlsCa, tlsCert, tlsKey } = options;
	const tls = {
		...(tlsCa === undefined ? {} : { ca: await readText("--tls-ca", tlsCa) }),
		...(tlsCert === undefined ? {} : { cert: await readText("--tls-cert", tlsCert) }),
		...(tlsKey === undefined ? {} : { key: await readText("--tls-key", tlsKey) }),
	};
	return Object.keys(tls).length === 0 ? {} : { tls };
}
