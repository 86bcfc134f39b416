/** Every schema of data that was generated, with any message's fields. */
import { readdirSync } from "node:fs";
import type { KafkaReader } from "../../src/kafka/wire/reader.ts";
import type { KafkaWriter } from "../../src/kafka/wire/writer.ts";
import type { Fields } from "./client-codec.ts";

export interface AnySchema {
	readonly name: string;
	readonly oldest: number;
	readonly latest: number;
	read(reader: KafkaReader, version: number): unknown;
	write(writer: KafkaWriter, message: Fields, version: number): void;
}

const directory = new URL("../../src/kafka/generated/", import.meta.url);

export async function generatedSchemas(): Promise<AnySchema[]> {
	const files = readdirSync(directory).filter((file) => file.startsWith("data-"));
	const modules = await Promise.all(
		files.map((file): Promise<Record<string, unknown>> => import(new URL(file, directory).href)),
	);
	return modules
		.flatMap((module) => Object.values(module))
		.filter((value): value is AnySchema => typeof value === "object" && value !== null);
}

/** All versions from the oldest to the latest. */
export function versionsOf({ oldest, latest }: { oldest: number; latest: number }): number[] {
	return Array.from({ length: latest - oldest + 1 }, (_, index) => oldest + index);
}
