//! Disk formats written and read without mounting: ext4, VHD, VHDX, GPT.
#![forbid(unsafe_code)]
