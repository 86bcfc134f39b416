/** What a client may do, as bit fields over Kafka's operation numbers (KIP-430). */

const OPERATION = {
	read: 3,
	write: 4,
	create: 5,
	delete: 6,
	alter: 7,
	describe: 8,
	clusterAction: 9,
	describeConfigs: 10,
	alterConfigs: 11,
	idempotentWrite: 12,
} as const;

const bits = (...names: (keyof typeof OPERATION)[]) =>
	names.reduce((field, name) => field | (1 << OPERATION[name]), 0);

/** The client did not ask. */
export const OPERATIONS_UNASKED = -2_147_483_648;

// Nobody is refused anything in this version: there is no authorization.
export const TOPIC_OPERATIONS = bits(
	"read",
	"write",
	"create",
	"delete",
	"alter",
	"describe",
	"describeConfigs",
	"alterConfigs",
);
export const GROUP_OPERATIONS = bits(
	"read",
	"delete",
	"describe",
	"describeConfigs",
	"alterConfigs",
);
export const CLUSTER_OPERATIONS = bits(
	"create",
	"alter",
	"describe",
	"clusterAction",
	"describeConfigs",
	"alterConfigs",
	"idempotentWrite",
);
