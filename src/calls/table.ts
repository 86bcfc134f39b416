/**
 * The calls that need no connection, by name: over WebSocket they are frames of operation 7, over
 * HTTP each has a route. A call takes what it needs out of `parameters` and answers with a map.
 */
import type { CallName } from "../protocol/calls.ts";
import { createAcls, deleteAcls, listAcls } from "./acls.ts";
import type { Arguments } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";
import { listClients } from "./clients.ts";
import { describeCluster } from "./cluster.ts";
import { alterConfigs, describeConfigs } from "./configs.ts";
import { deleteGroup, describeGroup, listGroups, resetGroupOffsets } from "./groups.ts";
import { describeOffsets, listOffsets } from "./offsets.ts";
import { listQuotas, listThrottled, setQuotas } from "./quotas.ts";
import { createTicket } from "./tickets.ts";
import {
	addPartitions,
	alterTopic,
	createTopic,
	deleteTopic,
	describeTopic,
	listTopics,
} from "./topics.ts";
import { deleteUser, listUsers, setUser } from "./users.ts";
import { verifyPartition, verifyStatus } from "./verify.ts";

/** Calls of members of groups: a membership is a connection's, and ends with it. */
export type MemberCallName =
	| "groups.join"
	| "groups.acknowledge"
	| "groups.progress"
	| "groups.commit"
	| "groups.committed"
	| "groups.leave";

export type SharedCallName = Exclude<CallName, MemberCallName>;

export type Call = (caller: Caller, parameters: Arguments) => AnswerMap | Promise<AnswerMap>;

export const SHARED_CALLS: Readonly<Record<SharedCallName, Call>> = {
	"topics.create": createTopic,
	"topics.list": listTopics,
	"topics.describe": describeTopic,
	"topics.alter": alterTopic,
	"topics.add_partitions": addPartitions,
	"topics.delete": deleteTopic,
	"offsets.list": listOffsets,
	"offsets.describe": describeOffsets,
	"groups.list": listGroups,
	"groups.describe": describeGroup,
	"groups.reset_offsets": resetGroupOffsets,
	"groups.delete": deleteGroup,
	"acls.list": listAcls,
	"acls.create": createAcls,
	"acls.delete": deleteAcls,
	"quotas.list": listQuotas,
	"quotas.set": setQuotas,
	"quotas.throttled": listThrottled,
	"users.list": listUsers,
	"users.set": setUser,
	"users.delete": deleteUser,
	"configs.describe": describeConfigs,
	"configs.alter": alterConfigs,
	"tickets.create": createTicket,
	"clients.list": listClients,
	"cluster.describe": describeCluster,
	"verify.partition": verifyPartition,
	"verify.status": verifyStatus,
};
