/**
 * The kinds of records that stores keep in the metadata beside topics, for whoever has to tell,
 * without a broker, which of them a broker would not start with.
 */
import { OVERRIDE_RECORDS } from "./config/override-store.ts";
import { GROUP_CONFIG_RECORDS } from "./groups/group-configs.ts";
import type { RecordKind } from "./metadata/metadata-records.ts";
import { QUOTA_RECORDS } from "./quotas/quota-store.ts";
import { ACL_RECORDS } from "./security/authorizer.ts";
import { USER_RECORDS } from "./security/users.ts";

/** A kind of records, and what it means to lose one of them. */
export interface StoredKind extends RecordKind<unknown> {
	/** What goes with one that is left out, for people: it may be who can do what. */
	readonly lossOf: (key: string, value: Uint8Array) => string;
}

/** Characters of a record that are shown: enough to make it again. */
const SHOWN_CHARACTERS_MAX = 1_000;

const KINDS: readonly StoredKind[] = [
	{
		...USER_RECORDS,
		// Nothing of what is kept of a password is shown.
		lossOf: (key) => {
			const name = key.slice(USER_RECORDS.prefix.length);
			return `and USER ${name} WITH IT, who cannot log in before \`millrace user set\``;
		},
	},
	{
		...ACL_RECORDS,
		lossOf: (_, value) =>
			"and AN ACCESS RULE WITH IT: what it denied may be allowed now, and what it allowed " +
			`refused; make it again with \`millrace acl\`. It said: ${shown(value)}`,
	},
	{
		...QUOTA_RECORDS,
		lossOf: (_, value) => `and A QUOTA WITH IT, which holds nobody now. It said: ${shown(value)}`,
	},
	{
		...GROUP_CONFIG_RECORDS,
		lossOf: (_, value) => `and what this group had set. It said: ${shown(value)}`,
	},
	...OVERRIDE_RECORDS.map((kind) => ({
		...kind,
		lossOf: (_: string, value: Uint8Array) =>
			`and what was set of the broker's options while it ran. It said: ${shown(value)}`,
	})),
];

/** The kind that a key is of; undefined for topics, and for what this version does not know. */
export function kindOf(key: string): StoredKind | undefined {
	return KINDS.find(({ prefix }) => key.startsWith(prefix));
}

/** What is damaged is anything: nothing that a terminal would obey is shown. */
function shown(value: Uint8Array): string {
	const text = new TextDecoder().decode(value).replaceAll(/\p{C}/gu, "\ufffd");
	return text.slice(0, SHOWN_CHARACTERS_MAX);
}
