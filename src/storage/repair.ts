/** Repairing a data directory that no broker uses, and what tells which topics it has. */
import { loadNative } from "../native.ts";
import type {
	NativeInventory,
	NativeRepairAction,
	NativeRepairOptions,
	NativeRepairReport,
	NativeTopicDirectory,
} from "../native-binding.ts";
import { callAsync } from "./native-error.ts";

/** See the fields of the native type. */
export type Inventory = Readonly<NativeInventory>;
export type TopicDirectory = Readonly<NativeTopicDirectory>;
export type RepairOptions = NativeRepairOptions;
export type RepairAction = Readonly<NativeRepairAction>;
export type RepairReport = Readonly<NativeRepairReport>;

/**
 * What the metadata file and the directories of topics tell; changes nothing. Rejects with
 * DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_NEWER, DATA_DAMAGED (the directory itself) or
 * KAFKA_STORAGE_ERROR.
 */
export function inventoryOf(dataDir: string): Promise<Inventory> {
	return callAsync(() => loadNative().dataDirectoryInventory(dataDir));
}

/** Repairs the directory, or tells what would be done. Rejects as `inventoryOf` does. */
export function repairDataDirectory(
	dataDir: string,
	options: RepairOptions,
): Promise<RepairReport> {
	return callAsync(() => loadNative().repairDataDirectory(dataDir, options));
}
