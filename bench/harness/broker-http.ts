import type { ServerProcess } from "./server-process.ts";

/** What a broker answers over HTTP at a path; rejects where it is no success. */
export async function httpGet({ url }: ServerProcess, path: string): Promise<string> {
	const answer = await fetch(`${url.replace(/^ws/, "http")}${path}`);
	const text = await answer.text();
	if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}: ${text}`);
	return text;
}
