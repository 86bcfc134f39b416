/** File systems by what they keep of the promises that a log needs, and finding them. */
import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";

/** As the core has them, which refuses to open a data directory across a network. */
export type FileSystemKind = "local" | "memory" | "copy-on-write" | "network" | "layered";

export interface FileSystem {
	/** For people. */
	readonly name: string;
	/** undefined: it is not one we know; the core takes it for a local one. */
	readonly kind: FileSystemKind | undefined;
}

/** `f_type` of statfs(2) on Linux. What the core knows, `kind_of_magic` of its disk.rs has, too. */
export const FILE_SYSTEMS: ReadonlyMap<number, readonly [name: string, kind: FileSystemKind]> =
	new Map([
		[0xef53, ["ext2, ext3 or ext4", "local"]],
		[0x58465342, ["xfs", "local"]],
		[0x01021994, ["tmpfs", "memory"]],
		[0x858458f6, ["ramfs", "memory"]],
		[0x9123683e, ["btrfs", "copy-on-write"]],
		[0x2fc12fc1, ["zfs", "copy-on-write"]],
		[0xca451a4e, ["bcachefs", "copy-on-write"]],
		[0xf2f52010, ["f2fs", "copy-on-write"]],
		[0x3434, ["nilfs2", "copy-on-write"]],
		[0x794c7630, ["overlayfs", "layered"]],
		[0x6969, ["nfs", "network"]],
		[0x517b, ["smb", "network"]],
		[0xff534d42, ["cifs", "network"]],
		[0xfe534d42, ["smb2", "network"]],
		[0x01021997, ["9p", "network"]],
		[0x65735546, ["fuse", "network"]],
		[0x00c36400, ["ceph", "network"]],
		[0x5346414f, ["afs", "network"]],
		[0x6b414653, ["afs", "network"]],
		[0x73757245, ["coda", "network"]],
		[0x564c, ["ncpfs", "network"]],
		[0x0bd00bd0, ["lustre", "network"]],
		[0x47504653, ["gpfs", "network"]],
		[0x19830326, ["beegfs", "network"]],
		[0x786f4256, ["vboxsf", "network"]],
		[0xbacbacbc, ["vmhgfs", "network"]],
	] as const);

/** `type` is statfs's. */
export function fileSystemOf(type: number): FileSystem {
	const [name, kind] = FILE_SYSTEMS.get(type) ?? [`type 0x${type.toString(16)}`, undefined];
	return { name, kind };
}

/** The file system that a path lies on, or will when it is made. */
export async function fileSystemAt(path: string): Promise<FileSystem> {
	const { directory } = await nearestDirectory(path);
	return fileSystemOf((await statfs(directory)).type);
}

/** `path`, or the closest directory above it that exists. Rejects with the system's error. */
export async function nearestDirectory(
	path: string,
): Promise<{ directory: string; exists: boolean }> {
	let directory = path;
	for (;;) {
		try {
			if ((await stat(directory)).isDirectory()) return { directory, exists: directory === path };
			throw Object.assign(new Error(`${directory} is not a directory`), { code: "ENOTDIR" });
		} catch (error) {
			const code = error instanceof Error && "code" in error ? error.code : undefined;
			if (code !== "ENOENT" || dirname(directory) === directory) throw error;
		}
		directory = dirname(directory);
	}
}
