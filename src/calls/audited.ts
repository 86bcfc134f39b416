/** What calls have changed, and what clients were not allowed, for the audit log. */
import { isAuthorizationFailure } from "../audit/audit-log.ts";
import { asMillraceError, codeName } from "../errors.ts";
import type { CallName } from "../protocol/calls.ts";
import { OPERATION } from "../protocol/operations.ts";
import { CLUSTER_NAME } from "../security/acl.ts";
import { type Arguments, isMap } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

/** Names of settings that are told of, and characters of each: an event is to hold all of them. */
const SETTINGS_MAX = 6;
const SETTING_CHARACTERS_MAX = 60;

/** Stands for what a client has left out, or sent as something else: a map has no text at all. */
const NONE = "(none)";

const topic = (parameters: Arguments) => `topic ${textOf(parameters, "name")}`;
const group = (parameters: Arguments) => `group ${textOf(parameters, "group")}`;
const user = (parameters: Arguments) => `user ${textOf(parameters, "user")}`;
const rules = () => `cluster ${CLUSTER_NAME}, access rules`;

const OPERATION_NAMES: ReadonlyMap<number, string> = new Map(
	Object.entries(OPERATION).map(([name, number]) => [number, name]),
);

/** What is changed by the calls that change something. */
const CHANGED: Readonly<Partial<Record<CallName, (parameters: Arguments) => string>>> = {
	"topics.create": topic,
	"topics.alter": topic,
	"topics.add_partitions": topic,
	"topics.delete": topic,
	"groups.reset_offsets": group,
	"groups.delete": group,
	"acls.create": rules,
	"acls.delete": rules,
	"users.set": user,
	"users.delete": user,
	"configs.alter": settings,
	"tickets.create": () => "a ticket of the caller's own",
	"quotas.set": () => `cluster ${CLUSTER_NAME}, quotas`,
};

/** Answers a call, and notes what became of it. */
export async function auditCall(
	caller: Caller,
	name: CallName,
	parameters: Arguments,
	answer: () => AnswerMap | Promise<AnswerMap>,
): Promise<AnswerMap> {
	const { peer, host, protocol } = caller;
	const resource = CHANGED[name]?.(parameters);
	const action = { protocol, operation: name, ...(resource && { resource }) };
	try {
		const answered = await answer();
		const isTried = parameters.value("validate_only") === true;
		if (resource !== undefined && !isTried) host.audit?.changed(peer, action);
		return answered;
	} catch (error) {
		const { number } = asMillraceError(error);
		const isNoted = resource !== undefined || isAuthorizationFailure(number);
		if (isNoted) host.audit?.refused(peer, action, codeName(number));
		throw error;
	}
}

function textOf(parameters: Arguments, name: string): string {
	const value = parameters.value(name);
	return typeof value === "string" ? value : NONE;
}

/** By name, whatever is set or taken back: a value may be a secret in the wrong place. */
function settings(parameters: Arguments): string {
	const configs = parameters.value("configs");
	const names = configs !== undefined && isMap(configs) ? Object.keys(configs) : [];
	const shown = names.slice(0, SETTINGS_MAX).map((name) => name.slice(0, SETTING_CHARACTERS_MAX));
	const more = names.length > SETTINGS_MAX ? ` and ${names.length - SETTINGS_MAX} more` : "";
	const level = parameters.value("level") === undefined ? "broker" : textOf(parameters, "level");
	const shownLevel = level.slice(0, SETTING_CHARACTERS_MAX);
	const text = names.length === 0 ? NONE : shown.join(", ") + more;
	return `cluster ${CLUSTER_NAME}, settings of level ${shownLevel}: ${text}`;
}

/** Notes that a client was not allowed something; other errors say nothing of clients. */
export function auditRefusal(
	{ host, peer, protocol }: Caller,
	frameOperation: number,
	code: number,
): void {
	if (host.audit === null || !isAuthorizationFailure(code)) return;
	const operation = OPERATION_NAMES.get(frameOperation) ?? `${frameOperation}`;
	host.audit.refused(peer, { protocol, operation }, codeName(code));
}
