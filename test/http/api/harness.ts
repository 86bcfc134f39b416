/** The HTTP API, over either transport, with what a test says of who may do what. */

import { once } from "node:events";

import type { Clock } from "../../../src/clock.ts";
import { MillraceError } from "../../../src/errors.ts";
import { apiRoutes } from "../../../src/http/api/api.ts";
import { HttpAuthentication } from "../../../src/http/api/authentication.ts";
import { router } from "../../../src/http/router.ts";
import type { OpenedMetadata } from "../../../src/metadata/metadata-writer.ts";
import { ClientQuotas } from "../../../src/quotas/client-quotas.ts";
import { QuotaStore } from "../../../src/quotas/quota-store.ts";
import {
	type AclAuthorizer,
	type Authorizer,
	NO_AUTHORIZATION,
} from "../../../src/security/authorizer.ts";
import { userPrincipal } from "../../../src/security/principal.ts";
import { type Harness, serve } from "../../websocket/harness.ts";

export const PASSWORD = "correct horse";
/** A wrong one, whose answer waits for as long as the client does. */
export const GUESSED = "wrong for long";

export interface ApiHarness extends Harness {
	/** Asks for a path under /v1, with a body where there is one, and reads the JSON. */
	ask(
		method: string,
		path: string,
		body?: unknown,
		headers?: Readonly<Record<string, string>>,
	): Promise<Asked>;
	/** Logins that were refused and whose answers wait. */
	readonly refusedCount: number;
	/** What could not be answered for the broker's own fault: nothing, in a good run. */
	failures: unknown[];
}

export interface Asked {
	readonly status: number;
	readonly headers: Headers;
	// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came.
	readonly body: any;
}

interface Options {
	readonly authorizer?: Authorizer;
	/** The access rules; absent: there are none. */
	readonly acls?: (opened: OpenedMetadata) => AclAuthorizer;
	readonly requestsMax?: number;
	/** What quotas are counted by, over a window of a second; default: the machine's. */
	readonly quotaClock?: Clock;
	/** Whether those are served who do not say who they are. */
	readonly servesAnonymous?: boolean;
}

/** Every user has the same password, and a token with their name. */
class TestUsers {
	refusedCount = 0;

	identify: ConstructorParameters<typeof HttpAuthentication>[0]["identify"] = async (
		credentials,
		_host,
		{ left } = {},
	) => {
		const password = credentials.scheme === "password" ? credentials.password : "";
		if (credentials.scheme === "password" && password === PASSWORD) {
			return { principal: userPrincipal(credentials.user) };
		}
		if (credentials.scheme === "token" && credentials.token.startsWith("token-of-")) {
			return { principal: userPrincipal(credentials.token.slice("token-of-".length)) };
		}
		if (password === GUESSED) {
			this.refusedCount++;
			if (left?.aborted === false) await once(left, "abort");
			this.refusedCount--;
		}
		throw new MillraceError("NOT_AUTHENTICATED");
	};
}

function quotasOf(
	{ quotaClock }: Options,
	usual: { readonly quotas: ClientQuotas },
	opened: OpenedMetadata,
): ClientQuotas {
	if (quotaClock === undefined) return usual.quotas;
	return new ClientQuotas(QuotaStore.open(opened), quotaClock, { samples: 2, sampleMs: 1_000 });
}

export function serveApi(transport: "uws" | "ws", options: Options = {}): ApiHarness {
	const { authorizer = NO_AUTHORIZATION, acls, servesAnonymous = true, requestsMax } = options;
	const failures: unknown[] = [];
	const users = new TestUsers();
	const authentication = new HttpAuthentication(users, servesAnonymous);
	const log = { error: (details: object) => void failures.push(details) };
	const harness = serve(transport, (storage, usual, opened) => {
		const rules = acls?.(opened) ?? null;
		const quotas = quotasOf(options, usual, opened);
		const host = { ...usual, storage, authorizer: rules ?? authorizer, acls: rules, log, quotas };
		return { http: router(apiRoutes(host, authentication, requestsMax)), quotas };
	});
	const ask = async (
		method: string,
		path: string,
		body?: unknown,
		headers: Readonly<Record<string, string>> = {},
	) => {
		const response = await fetch(`${harness.http}/v1${path}`, {
			method,
			headers: {
				...(body === undefined ? {} : { "content-type": "application/json" }),
				...headers,
			},
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
		});
		const text = await response.text();
		return {
			status: response.status,
			headers: response.headers,
			body: text === "" ? null : JSON.parse(text),
		};
	};
	Object.defineProperty(harness, "refusedCount", { get: () => users.refusedCount });
	return Object.assign(harness, { ask, failures }) as ApiHarness;
}
