"""What the library needs to work and a student need not read: checks of arguments, files, folders, devices, processes.

Nothing here knows what an image is for: no noise, no network, no paper. It imports from no other room.
"""
