namespace DataPlane.QemuTests;
