/** An identity provider: keys, their JSON Web Key Set at a URL, and tokens that they sign. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { onTestFinished } from "vitest";

import type { AtEnd } from "./broker-process.ts";

export const ISSUER = "https://issuer.example";
export const AUDIENCE = "millrace";

interface Key {
	readonly kid: string;
	readonly alg: string;
	readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
}

export class TokenIssuer {
	/** Where the key set is. */
	readonly url: string;
	/** How often it was asked for. */
	requestCount = 0;
	/** What is answered in place of the key set. */
	answer: { readonly status: number; readonly body: string } | undefined;
	readonly #published: JWK[] = [];
	#key: Key | undefined;

	private constructor(server: Server) {
		server.on("request", async ({ url }, response) => {
			if (url === "/token") {
				const token = { access_token: await this.sign(), token_type: "Bearer", expires_in: 300 };
				response.setHeader("content-type", "application/json");
				response.end(JSON.stringify(token));
				return;
			}
			this.requestCount++;
			response.statusCode = this.answer?.status ?? 200;
			response.end(this.answer?.body ?? this.keySet);
		});
		this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
	}

	static async start(atEnd: AtEnd = onTestFinished): Promise<TokenIssuer> {
		const server = createServer();
		server.listen(0, "127.0.0.1");
		await once(server, "listening");
		atEnd(() => {
			server.closeAllConnections();
			server.close();
		});
		const issuer = new TokenIssuer(server);
		await issuer.rotate();
		// What `fetch` loads for its first request takes long on a busy machine, and brokers ask for
		// keys with a deadline.
		await (await fetch(issuer.url)).text();
		issuer.requestCount = 0;
		return issuer;
	}

	/** Where clients get a token, whatever they present (OAuth 2.0's client credentials). */
	get tokenUrl(): string {
		return new URL("/token", this.url).href;
	}

	/** The key set as it is served. */
	get keySet(): string {
		return JSON.stringify({ keys: this.#published });
	}

	/** Signs with a new key from now on, which is published as long as it is not hidden. */
	async rotate({ alg = "RS256", isHidden = false } = {}): Promise<void> {
		const { publicKey, privateKey } = await generateKeyPair(alg);
		const kid = `key-${this.#published.length}-${alg}`;
		this.#key = { kid, alg, privateKey };
		if (!isHidden) this.#published.push({ ...(await exportJWK(publicKey)), kid, alg, use: "sig" });
	}

	/** A token with these claims beside those that every token has; undefined takes one away. */
	async sign(
		claims: Readonly<Record<string, unknown>> = {},
		header: { kid?: string; alg?: string } = {},
	) {
		const { kid, alg, privateKey } = this.#key as Key;
		const nowSeconds = Math.floor(Date.now() / 1_000);
		const payload = {
			iss: ISSUER,
			aud: AUDIENCE,
			sub: "alice",
			iat: nowSeconds,
			exp: nowSeconds + 300,
			...claims,
		};
		return new SignJWT(payload).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
	}
}
