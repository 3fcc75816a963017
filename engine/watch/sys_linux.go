package watch

import "golang.org/x/sys/unix"

const limit = "fs.inotify.max_user_watches"

// remotes are file systems that other machines, or programs, write to without the kernel's knowledge, by their magic number in statfs(2).
var remotes = map[uint32]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "SMB", unix.AFS_SUPER_MAGIC: "AFS", unix.AFS_FS_MAGIC: "AFS",
	unix.CODA_SUPER_MAGIC: "Coda", unix.CEPH_SUPER_MAGIC: "Ceph", unix.V9FS_MAGIC: "9P", unix.FUSE_SUPER_MAGIC: "FUSE", unix.OCFS2_SUPER_MAGIC: "OCFS2",
	0x01161970: "GFS2", 0x0BD00BD0: "Lustre", 0x19830326: "BeeGFS", 0x47504653: "GPFS",
}

// remote names the kind of file system that a directory lies on, if that is one of those; else "".
func remote(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return ""
	}
	return remotes[uint32(st.Type)]
}
