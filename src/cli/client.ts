/** `millrace client list`. */
import { Command } from "commander";

import type { ClientDescription } from "../client/index.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "./broker-connection.ts";
import { jsonOption } from "./options.ts";
import { print } from "./print.ts";
import { formatBytes } from "./sizes.ts";
import { formatTable } from "./table.ts";

export function clientCommand(): Command {
	const client = new Command("client").description("list the clients that are connected");
	return client.addCommand(listCommand());
}

function listCommand(): Command {
	const command = new Command("list")
		.description("list clients of both protocols, with what waits for them")
		.option("--slow", "only those that are slow: not reading, not asking, or falling behind")
		.addOption(jsonOption());
	return addBrokerOptions(command).action(
		(options: BrokerOptions & { slow?: boolean; json?: boolean }) =>
			withClient(options, async (client) => {
				const clients = await client.clients.list({ slow: options.slow === true });
				const heads = ["id", "protocol", "principal", "client", "address", "pending", "lag"];
				const text =
					options.json === true
						? JSON.stringify({ clients })
						: formatTable([...heads, "slow", "since"], clients.map(rowOf));
				print(text);
			}),
	);
}

function rowOf(description: ClientDescription): string[] {
	const { id, protocol, principal, client, address, slow } = description;
	return [
		`${id}`,
		protocol,
		principal,
		client === "" ? "-" : client,
		address,
		formatBytes(description.pending_bytes),
		`${description.lag_records}`,
		slow === null ? "-" : slow.reason.replace("_", " "),
		slow === null ? "-" : new Date(slow.since_ms).toISOString(),
	];
}
