/** `millrace quota list|set|remove|throttled`. */
import { Argument, Command } from "commander";

import type { QuotaEntry, QuotaTarget, ThrottledClient } from "../client/index.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "./broker-connection.ts";
import { UsageError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";
import { print } from "./print.ts";
import { formatTable } from "./table.ts";

interface QuotaOptions extends BrokerOptions {
	readonly json?: boolean;
	readonly forUser?: string;
	readonly forAnyUser?: boolean;
	readonly forClientId?: string;
	readonly forAnyClientId?: boolean;
}

/** What the protocol has for those for whom there is no quota by name. */
const DEFAULT = "";

export function quotaCommand(): Command {
	const quota = new Command("quota").description("limit what users and clients do a second");
	for (const make of [listCommand, setCommand, removeCommand]) {
		const command = make()
			.option("--for-user <name>", "of a user")
			.option("--for-any-user", "of each user for whom there is none by name")
			.option("--for-client-id <name>", "of a client id")
			.option("--for-any-client-id", "of each client id for which there is none by name");
		quota.addCommand(addBrokerOptions(command).addOption(jsonOption()));
	}
	quota.addCommand(addBrokerOptions(throttledCommand()).addOption(jsonOption()));
	return quota;
}

function listCommand(): Command {
	return new Command("list")
		.description("list quotas, all or those that options name")
		.action((options: QuotaOptions) =>
			withClient(options, async (client) => {
				const quotas = await client.quotas.list(targetOf(options));
				if (options.json === true) return print(JSON.stringify({ quotas }));
				print(formatTable(["user", "client-id", "quota", "a second"], quotas.flatMap(rowsOf)));
			}),
		);
}

function setCommand(): Command {
	return new Command("set")
		.description("set quotas, such as producer_byte_rate=1048576 or request_rate=50")
		.addArgument(new Argument("<quota=rate...>", "the quotas, each with its rate a second"))
		.action((quotas: string[], options: QuotaOptions) => {
			const target = namedTarget(options);
			const rates = Object.fromEntries(quotas.map(rateOf));
			return withClient(options, async (client) => {
				await client.quotas.set(target, rates);
				print(options.json === true ? JSON.stringify({ ...target, rates }) : "set");
			});
		});
}

function removeCommand(): Command {
	return new Command("remove")
		.description("remove quotas, those named or all that are set for it")
		.addArgument(new Argument("[quota...]", "the quotas"))
		.action((quotas: string[], options: QuotaOptions) => {
			const target = namedTarget(options);
			return withClient(options, async (client) => {
				const set = (await client.quotas.list(target)).find((entry) => isFor(entry, target));
				const names = quotas.length > 0 ? quotas : Object.keys(set?.rates ?? {});
				const removed = names.filter((name) => set !== undefined && name in set.rates);
				await client.quotas.set(target, Object.fromEntries(names.map((name) => [name, null])));
				print(options.json === true ? JSON.stringify({ removed }) : `removed ${removed.length}`);
			});
		});
}

function throttledCommand(): Command {
	return new Command("throttled")
		.description("list the connections that wait now, and because of what")
		.action((options: QuotaOptions) =>
			withClient(options, async (client) => {
				const clients = await client.quotas.throttled();
				if (options.json === true) return print(JSON.stringify({ clients }));
				const head = ["user", "client-id", "address", "protocol", "quota", "waits"];
				print(formatTable(head, clients.map(throttledRow)));
			}),
		);
}

/** Throws UsageError. */
function targetOf(options: QuotaOptions): QuotaTarget {
	const { forUser, forAnyUser, forClientId, forAnyClientId } = options;
	if (forUser !== undefined && forAnyUser === true) {
		throw new UsageError("one of --for-user, --for-any-user at a time");
	}
	if (forClientId !== undefined && forAnyClientId === true) {
		throw new UsageError("one of --for-client-id, --for-any-client-id at a time");
	}
	if (forUser === "" || forClientId === "") throw new UsageError("a name is not empty");
	const userName = forAnyUser === true ? DEFAULT : forUser;
	const clientName = forAnyClientId === true ? DEFAULT : forClientId;
	return {
		...(userName === undefined ? {} : { user: userName }),
		...(clientName === undefined ? {} : { client_id: clientName }),
	};
}

function namedTarget(options: QuotaOptions): QuotaTarget {
	const target = targetOf(options);
	if (Object.keys(target).length > 0) return target;
	throw new UsageError(
		"say whose quota: --for-user, --for-any-user, --for-client-id, --for-any-client-id",
	);
}

function rateOf(text: string): [quota: string, rate: number] {
	const [quota = "", written = ""] = text.split("=", 2);
	const rate = Number(written);
	if (quota !== "" && written !== "" && Number.isFinite(rate)) return [quota, rate];
	throw new UsageError(`${text} is not QUOTA=RATE`);
}

const isFor = (entry: QuotaTarget, target: QuotaTarget) =>
	entry.user === target.user && entry.client_id === target.client_id;

const nameOf = (name: string | undefined) => (name === DEFAULT ? "(default)" : (name ?? ""));

function rowsOf({ user, client_id, rates }: QuotaEntry): string[][] {
	const names = [nameOf(user), nameOf(client_id)];
	return Object.entries(rates).map(([quota, rate]) => [...names, quota, `${rate}`]);
}

function throttledRow(client: ThrottledClient): string[] {
	const { user, client_id, address, protocol, quota, left_ms } = client;
	return [user, client_id, address, protocol, quota, `${(left_ms / 1_000).toFixed(1)} s`];
}
