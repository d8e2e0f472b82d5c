-- Runs inside the game's server: puts the player where `command` says, keeps `status` up to date and
-- writes `terrain` once. All three are files in the world's folder, the only place a mod may write to.

local folder = minetest.get_worldpath()
local settings = minetest.parse_json(io.open(folder .. "/settings"):read("*a"))
local low, high = vector.new(settings.low, settings.bottom, settings.low), vector.new(settings.high, settings.top, settings.high)

local player              -- the one player, once joined
local ready = false       -- the terrain is generated and written
local done = 0            -- number of the last command that was carried out
local log = {}            -- nodes of trees dug since then, as x, y, z
local steps = 0           -- of the server, since the start
local before = {}         -- what changed nodes were before, by position
local restoring = false

-- Trees have parts that come by chance, a new one each time the game is started. Here each kind of tree is
-- drawn a few times from a fixed seed instead, so that the map is the same in every game.
local VARIANTS = 4

local function drawn(schematic, random)
	local made = minetest.read_schematic(schematic, {write_yslice_prob = "all"})
	for _, parts in ipairs({made.data, made.yslice_prob}) do
		for _, part in ipairs(parts) do
			part.prob = random:next(0, 253) < (part.prob or 254) and 254 or 0
		end
	end
	return made
end

local function draw_trees()
	local decorations, names, random = table.copy(minetest.registered_decorations), {}, PcgRandom(1)
	for name in pairs(decorations) do
		table.insert(names, name)
	end
	table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
	minetest.clear_registered_decorations()
	for _, name in ipairs(names) do
		local decoration = decorations[name]
		if decoration.deco_type ~= "schematic" then
			minetest.register_decoration(decoration)
		else
			for variant = 1, VARIANTS do
				local one = table.copy(decoration)
				one.name = name .. "_" .. variant
				one.schematic = drawn(decoration.schematic, random)
				if one.noise_params then
					one.noise_params.offset = one.noise_params.offset / VARIANTS
					one.noise_params.scale = one.noise_params.scale / VARIANTS
				else
					one.fill_ratio = one.fill_ratio / VARIANTS
				end
				minetest.register_decoration(one)
			end
		end
	end
end

-- Nothing but the player may change the map: no growing, no decay, and (by settings) no flowing water.
minetest.register_on_mods_loaded(function()
	draw_trees()
	minetest.registered_abms = {}
	minetest.registered_lbms = {}
	for name, node in pairs(minetest.registered_nodes) do
		if node.on_timer or node.on_construct or node.after_destruct then
			minetest.override_item(name, {on_timer = function() end, on_construct = function() end,
				after_destruct = function() end})
		end
	end
end)

for _, name in ipairs({"set_node", "add_node", "remove_node", "swap_node"}) do
	local change = minetest[name]
	minetest[name] = function(pos, ...)
		local key = minetest.hash_node_position(vector.round(pos))
		if not restoring and before[key] == nil then
			before[key] = minetest.get_node(pos)
		end
		return change(pos, ...)
	end
end

local function restore()
	restoring = true
	for key, node in pairs(before) do
		minetest.set_node(minetest.get_position_from_hash(key), node)
	end
	restoring = false
	before = {}
	for _, object in ipairs(minetest.get_objects_inside_radius(vector.zero(), 1000)) do
		if not object:is_player() then
			object:remove()
		end
	end
end

local function equip()
	local inventory = player:get_inventory()
	inventory:set_list("main", {settings.item})
	player:set_wielded_item(settings.item)
end

minetest.register_on_dignode(function(pos, node)
	if minetest.get_item_group(node.name, "tree") > 0 then
		for _, value in ipairs({pos.x, pos.y, pos.z}) do
			table.insert(log, value)
		end
	end
	equip() -- neither wear nor loot may change what the hand holds
end)

minetest.register_on_placenode(function()
	minetest.after(0, equip)
end)

-- Both would be written across the picture.
minetest.get_server_status = function() return "" end
minetest.send_join_message = function() end

minetest.register_on_joinplayer(function(joined)
	player = joined
	player:hud_set_flags({hotbar = false, healthbar = false, breathbar = false, crosshair = false, minimap = false,
		minimap_radar = false, basic_debug = false})
	player:set_armor_groups({immortal = 1})
	player:override_day_night_ratio(1)
	equip()
end)

-- Of each column of the map, south to north in rows from west to east: whether it is water ("~"), too low to
-- jump in under a trunk or leaves ("#") or neither ("."), the height of the surface, and all trunks' nodes.
local function survey()
	local kinds, heights, trunks = {}, {}, {}
	local leaf_or_trunk, water, solid, tree = {}, {}, {}, {}
	for name, node in pairs(minetest.registered_nodes) do
		local id = minetest.get_content_id(name)
		tree[id] = minetest.get_item_group(name, "tree") > 0
		leaf_or_trunk[id] = tree[id] or minetest.get_item_group(name, "leaves") > 0 or name == "default:cactus"
			or name == "default:apple" or name:find("stem") ~= nil
		water[id] = node.liquidtype ~= "none"
		solid[id] = node.walkable
	end
	for x = settings.low, settings.high do
		local manip = minetest.get_voxel_manip()
		local from, to = manip:read_from_map(vector.new(x, low.y, low.z), vector.new(x, high.y, high.z))
		local area, data = VoxelArea:new({MinEdge = from, MaxEdge = to}), manip:get_data()
		local row = {}
		for z = settings.low, settings.high do
			local y, cover = high.y, high.y + 100
			while y > low.y do
				local id = data[area:index(x, y, z)]
				if tree[id] then
					table.insert(trunks, {x, y, z})
				end
				if leaf_or_trunk[id] then
					cover = y
				elseif solid[id] or water[id] then
					break
				end
				y = y - 1
			end
			local kind = water[data[area:index(x, y, z)]] and "~" or (cover - y <= 3 and "#" or ".")
			table.insert(row, kind)
			table.insert(heights, y)
		end
		table.insert(kinds, table.concat(row))
	end
	minetest.safe_file_write(folder .. "/terrain",
		minetest.write_json({kinds = kinds, heights = heights, trunks = trunks}))
end

-- Generates the map chunk by chunk, from the player's on: where chunks meet, the woods depend on their order.
local function generate(chunks)
	local corner = table.remove(chunks, 1)
	if not corner then
		survey()
		ready = true
		return
	end
	local far = vector.add(corner, settings.chunk - 1)
	minetest.emerge_area(corner, far, function(_, _, remaining)
		if remaining == 0 then
			generate(chunks)
		end
	end)
end

minetest.after(0, function()
	local chunks = {vector.new(settings.bottom, settings.bottom, settings.bottom)}
	for x = settings.low, settings.high, settings.chunk do
		for z = settings.low, settings.high, settings.chunk do
			table.insert(chunks, vector.new(x, settings.bottom, z))
		end
	end
	generate(chunks)
end)

local function obey()
	local file = io.open(folder .. "/command")
	if not file then
		return
	end
	local command = minetest.parse_json(file:read("*a"))
	file:close()
	if not command or command.number == done then
		return
	end
	restore()
	log = {}
	for _, pos in ipairs(command.goal) do
		minetest.set_node(pos, {name = "default:diamondblock"})
	end
	equip()
	player:set_pos(command.pos)
	player:set_look_horizontal(command.yaw)
	player:set_look_vertical(0)
	done = command.number
end

minetest.register_globalstep(function()
	if not (player and ready) then
		return
	end
	obey()
	local speed = player:get_player_control().aux1 and settings.sprint or 1
	if math.abs(player:get_physics_override().speed - speed) > 0.01 then
		player:set_physics_override({speed = speed})
	end
	steps = steps + 1
	local pos, velocity = player:get_pos(), player:get_velocity()
	minetest.safe_file_write(folder .. "/status", minetest.write_json({
		steps = steps,
		done = done,
		pos = {pos.x, pos.y, pos.z},
		velocity = {velocity.x, velocity.y, velocity.z},
		yaw = player:get_look_horizontal(),
		pitch = player:get_look_vertical(),
		log = log,
	}))
end)
