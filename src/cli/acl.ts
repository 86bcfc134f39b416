/** `millrace acl list|create|delete`. */
import { Command, Option } from "commander";

import type { AclFilter, AclOperationName, AclResourceName, AclRule } from "../client/index.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "./broker-connection.ts";
import { UsageError } from "./exit-code.ts";
import { jsonOption } from "./options.ts";
import { print } from "./print.ts";
import { formatTable } from "./table.ts";

interface RuleOptions extends BrokerOptions {
	readonly json?: boolean;
	readonly topic?: string;
	readonly group?: string;
	readonly cluster?: boolean;
	readonly transactionalId?: string;
	readonly prefixed?: boolean;
	readonly principal?: string;
	readonly host?: string;
	readonly operation?: AclOperationName[];
	readonly deny?: boolean;
	readonly all?: boolean;
}

const CLUSTER = "kafka-cluster";

const OPERATIONS: readonly AclOperationName[] = [
	"all",
	"read",
	"write",
	"create",
	"delete",
	"alter",
	"describe",
	"cluster_action",
	"describe_configs",
	"alter_configs",
	"idempotent_write",
];

export function aclCommand(): Command {
	const acl = new Command("acl").description("list, create and delete access rules");
	for (const make of [listCommand, createCommand, deleteCommand]) {
		const command = make()
			.option("--topic <name>", "of a topic; * for all")
			.option("--group <name>", "of a group; * for all")
			.option("--cluster", "of the cluster")
			.option("--transactional-id <name>", "of a transactional id; * for all")
			.option("--prefixed", "the name is a prefix: all that begin with it")
			.option("--principal <principal>", "for whom, such as User:alice; User:* for all")
			.option("--host <address>", "from which address; * for all")
			.addOption(new Option("--operation <operation...>", "what to do with it").choices(OPERATIONS))
			.option("--deny", "rules that deny; they win over those that allow");
		acl.addCommand(addBrokerOptions(command).addOption(jsonOption()));
	}
	return acl;
}

function listCommand(): Command {
	return new Command("list")
		.description("list access rules, all or those that options name")
		.action((options: RuleOptions) =>
			withClient(options, async (client) => {
				const lists = filtersOf(options).map((filter) => client.acls.list(filter));
				const acls = (await Promise.all(lists)).flat();
				if (options.json === true) return print(JSON.stringify({ acls }));
				print(
					formatTable(["principal", "host", "may", "operation", "on", "name"], acls.map(rowOf)),
				);
			}),
		);
}

function createCommand(): Command {
	return new Command("create")
		.description("allow (or with --deny deny) operations; needs a resource and a principal")
		.action((options: RuleOptions) => {
			const resource = resourceOf(options);
			const { principal, operation = [] } = options;
			if (resource === undefined || principal === undefined || operation.length === 0) {
				throw new UsageError("a rule needs a resource, --principal and --operation");
			}
			const acls = operation.map(
				(each): AclRule => ({
					...resource,
					pattern: options.prefixed === true ? "prefixed" : "literal",
					principal,
					host: options.host ?? "*",
					operation: each,
					permission: options.deny === true ? "deny" : "allow",
				}),
			);
			return withClient(options, async (client) => {
				await client.acls.create(acls);
				print(options.json === true ? JSON.stringify({ acls }) : `created ${countOf(acls.length)}`);
			});
		});
}

function deleteCommand(): Command {
	return new Command("delete")
		.description("delete the access rules that options name")
		.option("--all", "all rules that there are, where nothing else is named")
		.action((options: RuleOptions) => {
			const filters = filtersOf(options);
			const isAboutAll = filters.some((filter) => Object.keys(filter).length === 0);
			if (isAboutAll && options.all !== true) {
				throw new UsageError("say which rules to delete, or --all");
			}
			return withClient(options, async (client) => {
				let deleted = 0;
				for (const filter of filters) deleted += await client.acls.delete(filter);
				print(options.json === true ? JSON.stringify({ deleted }) : `deleted ${countOf(deleted)}`);
			});
		});
}

/** The resource that options name, if they name one. */
function resourceOf(options: RuleOptions): { resource: AclResourceName; name: string } | undefined {
	const { topic, group, cluster, transactionalId } = options;
	const named: { resource: AclResourceName; name: string }[] = [];
	if (topic !== undefined) named.push({ resource: "topic", name: topic });
	if (group !== undefined) named.push({ resource: "group", name: group });
	if (cluster === true) named.push({ resource: "cluster", name: CLUSTER });
	if (transactionalId !== undefined) {
		named.push({ resource: "transactional_id", name: transactionalId });
	}
	if (named.length > 1) {
		throw new UsageError("one of --topic, --group, --cluster, --transactional-id at a time");
	}
	return named[0];
}

/** A filter for each operation that is named, or one for all. */
function filtersOf(options: RuleOptions): AclFilter[] {
	const { principal, host, operation, prefixed, deny } = options;
	const common: AclFilter = {
		...resourceOf(options),
		...(prefixed === true ? { pattern: "prefixed" } : {}),
		...(principal === undefined ? {} : { principal }),
		...(host === undefined ? {} : { host }),
		...(deny === true ? { permission: "deny" } : {}),
	};
	return operation?.map((each) => ({ ...common, operation: each })) ?? [common];
}

function rowOf(rule: AclRule): string[] {
	const name = rule.pattern === "prefixed" ? `${rule.name}...` : rule.name;
	const may = rule.permission === "allow" ? "may" : "may not";
	return [rule.principal, rule.host, may, rule.operation, rule.resource, name];
}

const countOf = (count: number) => (count === 1 ? "1 rule" : `${count} rules`);
